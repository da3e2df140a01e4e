/*
 * Members of JSON objects, with defaults where they are absent.
 */
#ifndef GLASSTUI_JSON_H
#define GLASSTUI_JSON_H

#include <jansson.h>

static inline const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static inline long long number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static inline int flag(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

#endif
