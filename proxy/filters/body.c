/*
 * The chain of body filters, and media types: see body.h.
 */
#include "filters/body.h"

#include "filters/response.h"

void body_filter_add(struct request *r, struct body_filter *f)
{
    struct body_filter **at = &r->response.body_filters;

    while (*at)
        at = &(*at)->next;
    *at = f;
}

void body_pass(struct request *r, const struct body_filter *f, struct str s)
{
    struct body_filter *next = f ? f->next : r->response.body_filters;

    if (next)
        next->write(r, next, s);
    else
        response_frame(r, s);
}

int parse_media_types(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    bool is_new = !s->is_set;
    struct media_types *types = conf_claim_list(c, d, s, sizeof *types);

    for (const char *const *always = row->extra; is_new && *always; always++)
        *ARRAY_PUSH(&types->all, c->arena) = str_of(*always);
    for (unsigned i = 1; i < d->n_args; i++) {
        if (str_eq(d->args[i], STR("*")))
            types->is_any = true;
        else
            *ARRAY_PUSH(&types->all, c->arena) = d->args[i];
    }
    return 0;
}

bool media_types_match(const struct media_types *types, const struct request *r)
{
    struct str type = r->response.content_type;
    long charset = str_ifind(type, STR("charset=")), end = str_chr(type, ';');

    if (type.n == 0)
        return false;
    if (types->is_any)
        return true;
    if (charset >= 0 && end >= 0 && end < charset) /* nginx: only this parameter does not count */
        type = str_trim((struct str){type.p, (size_t)end});
    for (size_t i = 0; i < types->all.n; i++)
        if (str_ieq(types->all.items[i], type))
            return true;
    return false;
}
