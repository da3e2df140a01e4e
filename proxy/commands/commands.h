/*
 * The subcommands: glassproxy explain, diff, lint, trace, record, control, backend.
 */
#ifndef GLASSPROXY_COMMANDS_COMMANDS_H
#define GLASSPROXY_COMMANDS_COMMANDS_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* Runs the subcommand argv[1]; the exit status. */
int command_run(int argc, char **argv);

int command_explain(int argc, char **argv);
int command_trace(int argc, char **argv);
int command_control(int argc, char **argv);
int command_record(int argc, char **argv);
int command_lint(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_backend(int argc, char **argv);

/* The text NAME of O; "" if there is none. O's. */
const char *show_text(const json_t *o, const char *name);
/* Prints a described request (trace_describe()) for people. */
void show_request(FILE *out, const json_t *detail, bool has_colour);
/* A body ("body" of the control protocol): what is kept of it, control characters of a text replaced. */
void show_body(FILE *out, const json_t *body);
/* A line of the error log. */
void show_log(FILE *out, const json_t *line, bool has_colour);
/* What one phase got and made. */
void show_phase(FILE *out, const json_t *phase, bool has_colour);
/* Findings of diagnoses, for people. */
void show_findings(FILE *out, const json_t *findings, bool has_colour);
/* One line of a list. */
void show_summary(FILE *out, const json_t *summary, bool has_colour);

#endif
