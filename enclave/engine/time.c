/* Calendar arithmetic of our own: the C library's reads a time zone file, which an enclave does not have. */
#include "engine.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)
#define YEAR_MIN 1970
#define YEAR_MAX 9999

/* Days since 1970-01-01 of a proleptic Gregorian date; years begin in March so that the leap day comes last. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

void engine_format_time(int64_t time_ms, char text[ENGINE_TIME_LEN + 1])
{
    int64_t last = (days_from_date(YEAR_MAX, 12, 31) + 1) * DAY_MS - 1;
    time_ms = time_ms < 0 ? 0 : time_ms > last ? last : time_ms;
    int year, month, day;
    date_from_days(time_ms / DAY_MS, &year, &month, &day);
    int rest = (int)(time_ms % DAY_MS);
    char room[80]; /* the compiler cannot see that the numbers are short */
    snprintf(room, sizeof room, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day, rest / 3600000,
             rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
    memcpy(text, room, ENGINE_TIME_LEN);
    text[ENGINE_TIME_LEN] = 0;
}

static bool take_number(const char **at, int digits, char after, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *value = *value * 10 + (**at - '0');
    }
    if (after == 0)
        return true;
    return *(*at)++ == after;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

bool engine_parse_time(const char *text, int64_t *time_ms)
{
    int year, month, day, hour, minute, second, fraction = 0;
    const char *at = text;
    if (!take_number(&at, 4, '-', &year) || !take_number(&at, 2, '-', &month) || !take_number(&at, 2, 'T', &day) ||
        !take_number(&at, 2, ':', &hour) || !take_number(&at, 2, ':', &minute) || !take_number(&at, 2, 0, &second))
        return false;
    if (*at == '.') {
        at++;
        int scale = 100;
        if (*at < '0' || *at > '9')
            return false;
        for (; *at >= '0' && *at <= '9'; at++, scale /= 10)
            fraction += (*at - '0') * scale; /* digits past the third count nothing */
    }
    if (*at != 'Z' || at[1] != 0)
        return false;
    if (year < YEAR_MIN || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    *time_ms = days_from_date(year, month, day) * DAY_MS + hour * INT64_C(3600000) + minute * INT64_C(60000) +
               second * INT64_C(1000) + fraction;
    return true;
}
