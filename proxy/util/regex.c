/*
 * Regular expressions: see regex.h.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "util/regex.h"

#include <pcre2.h>
#include <stdio.h>

struct regex {
    pcre2_code *code;
    pcre2_match_data *match;
    struct str pattern;
    unsigned n_captures, n_names;
    struct regex_name *names;
};

static void regex_free(void *data)
{
    struct regex *re = data;

    pcre2_match_data_free(re->match);
    pcre2_code_free(re->code);
}

struct regex *regex_compile(struct arena *a, struct str pattern, enum regex_case how, struct str *error)
{
    struct regex *re = arena_zalloc(a, sizeof *re);
    int code;
    PCRE2_SIZE offset;
    uint32_t n_names = 0, entry_bytes = 0, n_captures = 0;
    PCRE2_SPTR table = NULL;

    re->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, how == CASE_INSENSITIVE ? PCRE2_CASELESS : 0, &code,
                             &offset, NULL);
    if (!re->code) {
        PCRE2_UCHAR words[128];
        pcre2_get_error_message(code, words, sizeof words);
        if (offset == pattern.n)
            *error = arena_printf(a, "pcre2_compile() failed: %s in \"%.*s\"", (char *)words, STR_ARG(pattern));
        else
            *error = arena_printf(a, "pcre2_compile() failed: %s in \"%.*s\" at \"%.*s\"", (char *)words, STR_ARG(pattern),
                                  STR_ARG(str_skip(pattern, offset)));
        return NULL;
    }
    pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    re->match = pcre2_match_data_create_from_pattern(re->code, NULL);
    arena_on_free(a, regex_free, re);
    re->pattern = arena_str(a, pattern);
    pcre2_pattern_info(re->code, PCRE2_INFO_CAPTURECOUNT, &n_captures);
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMECOUNT, &n_names);
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
    pcre2_pattern_info(re->code, PCRE2_INFO_NAMETABLE, &table);
    re->n_captures = n_captures;
    re->n_names = n_names;
    re->names = arena_alloc(a, (n_names + 1) * sizeof *re->names);
    for (uint32_t i = 0; i < n_names; i++) {
        const unsigned char *entry = table + i * entry_bytes;
        re->names[i].group = (unsigned)entry[0] << 8 | entry[1];
        re->names[i].name = arena_str(a, str_of((const char *)entry + 2));
    }
    return re;
}

struct str regex_pattern(const struct regex *re)
{
    return re->pattern;
}

unsigned regex_captures(const struct regex *re)
{
    return re->n_captures;
}

unsigned regex_names(const struct regex *re, const struct regex_name **names)
{
    *names = re->names;
    return re->n_names;
}

bool regex_match(const struct regex *re, struct str s, struct captures *captures)
{
    int n = pcre2_match(re->code, (PCRE2_SPTR)(s.p ? s.p : ""), s.n, 0, 0, re->match, NULL);
    PCRE2_SIZE *at;

    if (n < 0)
        return false;
    if (!captures)
        return true;
    at = pcre2_get_ovector_pointer(re->match);
    captures->n = n < MAX_CAPTURES ? (unsigned)n : MAX_CAPTURES;
    for (unsigned i = 0; i < captures->n; i++)
        captures->group[i] = at[2 * i] == PCRE2_UNSET ? STR("")
                                                      : (struct str){s.p + at[2 * i], at[2 * i + 1] - at[2 * i]};
    return true;
}
