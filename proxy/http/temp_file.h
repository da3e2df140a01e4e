/*
 * Temporary files: of request bodies and of answers that a client takes slowly (client_body_temp_path, proxy_temp_path).
 */
#ifndef GLASSPROXY_HTTP_TEMP_FILE_H
#define GLASSPROXY_HTTP_TEMP_FILE_H

#include "conf/conf.h"

/* Where temporary files go: what the setting's ptr of such a directive points to. */
struct temp_place {
    struct str directory;
    unsigned char levels[3]; /* digits of the names of directories below it; 0 ends them */
};

conf_parser conf_parse_temp_path;

/* A new file in PLACE, with nginx's names: the last digits of the number are directories if there are levels. Its path is
 * written to PATH (memory of A). A descriptor, or -1 with errno. */
int temp_file_open(struct arena *a, const struct temp_place *place, struct str *path);

/* Writes S to FD at *END, which moves on. False with errno; what was written is counted. */
bool temp_file_append(int fd, struct str s, long long *end);

#endif
