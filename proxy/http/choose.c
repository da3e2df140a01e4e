/*
 * Choosing the server and the location: part of core.h's interface.
 *
 * Both are pure functions. They can record every candidate with the reason why it won or lost; the recorder is
 * given only when somebody watches, so an unwatched choice costs nothing for it.
 */
#include "http/core.h"

static void record(struct candidates *seen, struct str name, const struct directive *d, bool is_chosen,
                   const char *why)
{
    struct candidate *c;

    if (!seen)
        return;
    c = ARRAY_PUSH(&seen->list, seen->arena);
    c->name = name;
    c->directive = d;
    c->is_chosen = is_chosen;
    c->why = str_of(why);
}

/* --- servers: exact, longest leading wildcard, longest trailing wildcard, first regex, default --- */

static bool name_matches(const struct server_name *n, struct str host, struct request *r)
{
    switch (n->kind) {
    case NAME_EXACT: return str_eq(n->name, host);
    case NAME_LEADING_WILDCARD: /* ".example.com": the name itself or below it; "*.": only below */
        return host.n > n->name.n && str_eq(str_skip(host, host.n - n->name.n), n->name);
    case NAME_TRAILING_WILDCARD: return host.n > n->name.n && str_has_prefix(host, n->name);
    case NAME_REGEX: return r ? conf_regex_match(r, n->regex, host) : regex_match(n->regex->re, host, NULL);
    }
    return false;
}

/* nginx: ".example.com" is ignored whole, its wildcard too, where "example.com" was there before on the address. */
static bool is_ignored(const struct listener *l, const struct server_name *n)
{
    for (size_t s = 0; n->is_dotted && s < l->servers.n; s++)
        for (size_t i = 0; i < l->servers.items[s]->names.n; i++) {
            const struct server_name *before = &l->servers.items[s]->names.items[i];
            if (before == n - 1)
                return false;
            if (before->kind == NAME_EXACT && str_eq(before->name, str_skip(n->name, 1)))
                return true;
        }
    return false;
}

struct server *server_choose(const struct listener *l, struct str host, struct request *r, struct candidates *seen)
{
    static const char *const won[] = {"exact name", "longest leading wildcard", "longest trailing wildcard",
                                      "first matching regular expression"};
    const struct server_name *best = NULL;

    for (int kind = NAME_EXACT; kind <= NAME_REGEX && !best; kind++)
        for (size_t s = 0; s < l->servers.n && !(best && (kind == NAME_REGEX || kind == NAME_EXACT)); s++)
            for (size_t i = 0; i < l->servers.items[s]->names.n; i++) {
                const struct server_name *n = &l->servers.items[s]->names.items[i];
                if ((int)n->kind != kind || (host.n == 0 && kind != NAME_EXACT))
                    continue;
                if ((best && best->name.n >= n->name.n) || !name_matches(n, host, r) || is_ignored(l, n))
                    continue;
                best = n;
                if (kind == NAME_REGEX)
                    break;
            }
    if (seen) {
        for (size_t s = 0; s < l->servers.n; s++) {
            struct server *server = l->servers.items[s];
            bool is_chosen = best ? best->server == server : server == l->default_server;
            const char *why = best && is_chosen            ? won[best->kind]
                              : is_chosen                  ? "no name matched: the default server of this address"
                              : server == l->default_server ? "the default server, but another's name matched"
                                                            : "its names do not match";
            record(seen, server->name, server->directive, is_chosen, why);
        }
    }
    return best ? best->server : l->default_server;
}

/* --- locations --- */

static enum location_result choose_prefix(const struct location *in, struct str uri, const struct location **found,
                                          struct candidates *seen)
{
    const struct location *best = NULL, *slash = NULL;

    for (size_t i = 0; i < in->prefixes.n; i++) {
        const struct location *l = in->prefixes.items[i];
        if (l->kind == LOCATION_EXACT) {
            if (str_eq(l->name, uri)) {
                record(seen, l->name, l->directive, true, "= matches exactly: the search ends");
                *found = l;
                return LOCATION_FOUND;
            }
            if (l->redirects_without_slash && l->name.n == uri.n + 1 && str_has_prefix(l->name, uri))
                slash = l;
            record(seen, l->name, l->directive, false, "= and the URI is not the same");
        } else if (str_has_prefix(uri, l->name)) {
            if (!best)
                best = l;
            else
                record(seen, l->name, l->directive, false, "a prefix, but a longer one matches");
        } else {
            if (l->redirects_without_slash && l->name.n == uri.n + 1 && str_has_prefix(l->name, uri))
                slash = l;
            record(seen, l->name, l->directive, false, "not a prefix of the URI");
        }
    }
    if (slash && !(best && best->name.n == uri.n)) { /* a location of just that name comes first */
        record(seen, slash->name, slash->directive, true, "proxied, and only the trailing slash is missing: 301");
        *found = slash;
        return LOCATION_ADD_SLASH;
    }
    if (best) {
        *found = best;
        return LOCATION_FOUND;
    }
    return LOCATION_NOT_FOUND;
}

enum location_result location_choose(const struct location *root, struct str uri, struct request *r,
                                     const struct location **found, struct candidates *seen)
{
    const struct location *prefix = NULL, *nested = NULL;
    enum location_result result = choose_prefix(root, uri, &prefix, seen);

    if (result == LOCATION_ADD_SLASH || (result == LOCATION_FOUND && prefix->kind == LOCATION_EXACT)) {
        *found = prefix;
        return result;
    }
    if (result == LOCATION_FOUND) {
        enum location_result inside = location_choose(prefix, uri, r, &nested, seen);
        bool is_final = inside == LOCATION_ADD_SLASH
                        || (inside == LOCATION_FOUND
                            && (nested->kind == LOCATION_EXACT || nested->kind == LOCATION_REGEX));
        *found = inside == LOCATION_NOT_FOUND ? prefix : nested;
        if (is_final) {
            record(seen, prefix->name, prefix->directive, false, "the longest prefix; a location inside it decides");
            return inside;
        }
        if (prefix->kind == LOCATION_PREFIX_NO_REGEX) {
            record(seen, prefix->name, prefix->directive, true, "longest prefix, and ^~ skips regular expressions");
            return LOCATION_FOUND;
        }
    }
    for (size_t i = 0; i < root->regexes.n; i++) {
        const struct location *l = root->regexes.items[i];
        bool matches = r ? conf_regex_match(r, l->regex, uri) : regex_match(l->regex->re, uri, NULL);
        if (!matches) {
            record(seen, l->name, l->directive, false, "the regular expression does not match");
            continue;
        }
        record(seen, l->name, l->directive, true, "first matching regular expression");
        if (prefix)
            record(seen, prefix->name, prefix->directive, false, "longest prefix, but a regular expression matched");
        for (size_t k = i + 1; k < root->regexes.n; k++)
            record(seen, root->regexes.items[k]->name, root->regexes.items[k]->directive, false,
                   "not tried: an earlier regular expression matched");
        *found = l;
        if (location_choose(l, uri, r, &nested, seen) == LOCATION_FOUND)
            *found = nested;
        return LOCATION_FOUND;
    }
    if (prefix)
        record(seen, prefix->name, prefix->directive, *found == prefix, "longest prefix, and no regular expression matched");
    return result;
}

const struct location *location_find_named(const struct server *s, struct str name)
{
    for (size_t i = 0; i < s->root->children.n; i++) {
        const struct location *l = s->root->children.items[i];
        if (l->kind == LOCATION_NAMED && str_eq(l->name, name))
            return l;
    }
    return NULL;
}

struct str location_text(struct arena *a, const struct location *l)
{
    static const char *const modifiers[] = {"", "^~ ", "= ", "~ ", "", ""};

    if (!l->parent && l->name.n == 0)
        return STR("");
    if (l->kind == LOCATION_REGEX && l->directive && l->directive->n_args == 3)
        return arena_printf(a, "%.*s %.*s", STR_ARG(l->directive->args[1]), STR_ARG(l->name));
    return arena_printf(a, "%s%.*s", modifiers[l->kind], STR_ARG(l->name));
}
