/*
 * Running the diagnoses: see diagnose.h.
 */
#include "diagnose/diagnose.h"

#include <stdarg.h>

#include "trace/json_write.h"

void finding_add(struct findings *out, const struct diagnosis *kind, const struct directive *d, const char *remedy, const char *format, ...)
{
    struct finding *f;
    struct str reason;
    va_list args;

    va_start(args, format);
    reason = arena_vprintf(out->arena, format, args);
    va_end(args);
    for (size_t i = 0; i < out->all.n; i++) /* one place is told once, however many locations inherit it */
        if (out->all.items[i].kind == kind && out->all.items[i].directive == d && str_eq(out->all.items[i].reason, reason))
            return;
    f = ARRAY_PUSH(&out->all, out->arena);
    *f = (struct finding){kind, reason, str_of(remedy ? remedy : kind->remedy), d};
}

struct findings *findings_of(struct request *r)
{
    struct findings *f = arena_zalloc(r->arena, sizeof *f);

    f->arena = r->arena;
    for (const struct diagnosis *d = diagnoses; d->id; d++)
        if (d->in_request)
            d->in_request(r, d, f);
    return f;
}

static void look_at(struct conf *c, const struct location *l, struct findings *f)
{
    for (const struct diagnosis *d = diagnoses; d->id; d++)
        if (d->in_location)
            d->in_location(c, l, d, f);
    for (size_t i = 0; i < l->children.n; i++)
        look_at(c, l->children.items[i], f);
}

struct findings *findings_of_conf(struct conf *c, struct arena *a)
{
    struct core_main *m = core_main(c);
    struct findings *f = arena_zalloc(a, sizeof *f);

    f->arena = a;
    for (size_t i = 0; m && i < m->servers.n; i++)
        look_at(c, m->servers.items[i]->root, f);
    return f;
}

static const char *const severities[] = {"hint", "warning", "error"};

struct str findings_worst(const struct findings *f)
{
    int worst = -1;

    for (size_t i = 0; i < f->all.n; i++)
        if ((int)f->all.items[i].kind->severity > worst)
            worst = (int)f->all.items[i].kind->severity;
    return worst < 0 ? STR("") : str_of(severities[worst]);
}

void findings_describe(struct buf *b, struct arena *a, const struct findings *f)
{
    write_open(b, "findings", '[');
    for (size_t i = 0; i < f->all.n; i++) {
        const struct finding *one = &f->all.items[i];
        write_open(b, NULL, '{');
        write_str(b, "id", str_of(one->kind->id));
        write_str(b, "severity", str_of(severities[one->kind->severity]));
        write_str(b, "title", str_of(one->kind->title));
        write_str(b, "reason", one->reason);
        write_str(b, "remedy", one->remedy);
        if (one->directive && one->directive->n_args) {
            write_str(b, "directive", directive_text(a, one->directive));
            write_str(b, "place", directive_place(a, one->directive));
        }
        write_close(b, '}');
    }
    write_close(b, ']');
}
