/*
 * Dates of HTTP and of logs: see date.h. The texts of the present second are made once a second.
 */
#include "http/date.h"

#include <stdio.h>

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void date_http(time_t t, char out[HTTP_DATE_BYTES + 1])
{
    struct tm tm;
    char text[80];

    gmtime_r(&t, &tm);
    snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(out, text, HTTP_DATE_BYTES);
    out[HTTP_DATE_BYTES] = '\0';
}

struct str date_cookie(struct arena *a, time_t t)
{
    struct tm tm;

    gmtime_r(&t, &tm);
    return arena_printf(a, "%s, %02d-%s-%02d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                        tm.tm_year % 100, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

time_t date_parse(struct str s)
{
    char text[64], month[4] = "";
    struct tm tm = {0};
    int day, year, hour, minute, second;

    if (s.n >= sizeof text)
        return (time_t)-1;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (sscanf(text, "%*[A-Za-z], %2d %3s %4d %2d:%2d:%2d", &day, month, &year, &hour, &minute, &second) == 6) {
    } else if (sscanf(text, "%*[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d", &day, month, &year, &hour, &minute,
                      &second) == 6) {
        year += year < 70 ? 2000 : 1900;
    } else if (sscanf(text, "%*[A-Za-z] %3s %2d %2d:%2d:%2d %4d", month, &day, &hour, &minute, &second, &year) == 6) {
    } else {
        return (time_t)-1;
    }
    tm.tm_mon = -1;
    for (int i = 0; i < 12; i++)
        if (strcmp(month, months[i]) == 0)
            tm.tm_mon = i;
    if (tm.tm_mon < 0 || hour > 23 || minute > 59 || second > 59 || day < 1 || day > 31 || year < 1970)
        return (time_t)-1;
    tm.tm_mday = day;
    tm.tm_year = year - 1900;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    return timegm(&tm);
}

static struct {
    time_t second;
    char http[HTTP_DATE_BYTES + 1], log[64], error_log[64], iso8601[64];
} now;

static void refresh(void)
{
    time_t t = time(NULL);
    struct tm tm;
    long minutes;
    char sign;

    if (t == now.second)
        return;
    now.second = t;
    date_http(t, now.http);
    localtime_r(&t, &tm);
    minutes = tm.tm_gmtoff / 60;
    sign = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    snprintf(now.log, sizeof now.log, "%02d/%s/%d:%02d:%02d:%02d %c%02ld%02ld", tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, sign, minutes / 60, minutes % 60);
    snprintf(now.error_log, sizeof now.error_log, "%4d/%02d/%02d %02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(now.iso8601, sizeof now.iso8601, "%4d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, sign, minutes / 60, minutes % 60);
}

struct str date_log(void)
{
    refresh();
    return str_of(now.log);
}

struct str date_error_log(void)
{
    refresh();
    return str_of(now.error_log);
}

struct str date_iso8601(void)
{
    refresh();
    return str_of(now.iso8601);
}

struct str date_now(void)
{
    refresh();
    return (struct str){now.http, HTTP_DATE_BYTES};
}
