/*
 * What the interface knows of the proxy: all of it came over the control socket. It draws nothing.
 */
#ifndef GLASSTUI_MODEL_MODEL_H
#define GLASSTUI_MODEL_MODEL_H

#include <stdbool.h>

#include "json.h"
#include "link.h"

enum { KEPT_REQUESTS = 10000, KEPT_HELD = 1000, KEPT_LOGS = 2000, EVENTS_PER_SECOND = 200 };

/* What an answer is for: sent as "id", so that the answer finds its way. */
enum purpose { FOR_NOTHING, FOR_HELLO, FOR_SUBSCRIPTION, FOR_LIST, FOR_HELD, FOR_DETAIL, FOR_REQUEST_BODY, FOR_RESPONSE_BODY, FOR_BREAKPOINTS, FOR_STATS, FOR_CONFIG,
               FOR_LOGS, FOR_PHASES, FOR_EXPORT, FOR_EDIT, FOR_RELOAD, FOR_COMMAND };

enum sort { SORT_TIME, SORT_STATUS, SORT_DURATION, SORT_HOST, SORT_URI, SORT_COUNT };
extern const char *const sort_names[SORT_COUNT];

struct model {
    struct link link;
    const char *path;
    bool has_gone;
    char conf[4096], prefix[4096], who[64];

    json_t *requests[KEPT_REQUESTS]; /* summaries of finished ones, a ring */
    int first, n;
    json_t *held[KEPT_HELD];
    int n_held;
    json_t *marks; /* object: numbers of marked requests */
    json_t *shown[KEPT_REQUESTS + KEPT_HELD]; /* the list: held ones first; not owned */
    int n_shown, chosen;
    long long stepping;       /* the request that is on its way to the next stop; 0: none */
    const char *queued[16];   /* steps asked for meanwhile */
    int n_queued;
    long long chosen_id;
    enum sort sort;
    bool is_reversed, only_marked, follows, is_paused, wants_raw_bodies;

    json_t *detail, *bodies[2]; /* of the chosen one: request, response */
    long long detail_id;
    json_t *breakpoints, *stats, *stats_before, *config, *phases;
    json_t *logs[KEPT_LOGS];
    int first_log, n_logs;

    char filter[512], wanted_filter[512];
    long long n_dropped, n_sampled, n_missed;
    char message[512]; /* the last news, for the user */
    bool is_error, is_reload_refused;
    char problem[512]; /* why a filter or breakpoint was refused; "" if it was not */

    /* Set when something came that a view must build anew. */
    bool has_new_list, has_new_detail, has_new_breakpoints, has_new_stats, has_new_config, has_new_logs;
    void (*export)(void *data, const json_t *detail);
    void *export_data;
};

/* Attaches to the socket at PATH and asks for what is always shown. -1 with errno. */
int model_attach(struct model *m);
/* Reads what has come; false when the proxy is gone. */
bool model_read(struct model *m);

void model_ask(struct model *m, enum purpose purpose, json_t *command);
/* "step" or "next" for the chosen request; while it is on its way, the step is taken when it stops. */
void model_step(struct model *m, const char *command);
/* A command about the chosen request. */
void model_ask_chosen(struct model *m, const char *command);

/* The bodies of the chosen request, decoded or as they were sent. */
void model_ask_bodies(struct model *m);

/* The list again, after filter, marks, sort or requests changed. */
void model_list_again(struct model *m);
void model_choose(struct model *m, int i);
/* The chosen request's summary; NULL if the list is empty. */
json_t *model_chosen(const struct model *m);
bool model_is_held(const json_t *summary);
bool model_is_marked(const struct model *m, const json_t *summary);
void model_mark(struct model *m, const json_t *summary);

/* Asks for requests that FILTER (of the proxy's filter language) matches. */
void model_set_filter(struct model *m, const char *filter);
void model_pause(struct model *m);

void model_say(struct model *m, bool is_error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
