/* DER: one definite, shortest encoding for everything (X.690 §10.1), low tags, lengths below 65,536. */
#include "der.h"

#define LENGTH_MAX 65535
#define DAY_S 86400

/* ---- Reading ---- */

static size_t take_length(struct reader *reader)
{
    uint8_t first = take_u8(reader);
    if (first < 0x80)
        return first;
    size_t len = first == 0x81 ? take_u8(reader) : first == 0x82 ? take_u16be(reader) : 0;
    if (len < (first == 0x81 ? 0x80 : 0x100))
        reader_fail(reader, MALFORMED);
    return len;
}

struct bytes der_take_element(struct reader *reader, unsigned *tag)
{
    struct bytes before = reader->rest;
    unsigned found = take_u8(reader);
    if ((found & 0x1f) == 0x1f)
        reader_fail(reader, MALFORMED);
    (void)take_bytes(reader, take_length(reader));
    if (reader->status != OK)
        return (struct bytes){0};
    if (tag)
        *tag = found;
    return bytes_slice(before, 0, before.len - reader->rest.len);
}

struct bytes der_take(struct reader *reader, unsigned tag)
{
    if (take_u8(reader) != tag)
        reader_fail(reader, MALFORMED);
    return take_bytes(reader, take_length(reader));
}

/* §8.19.2: each arc in the fewest bytes, the last of which has its first bit clear. */
struct bytes der_take_oid(struct reader *reader)
{
    struct bytes oid = der_take(reader, DER_OID);
    bool begins = true;
    for (size_t i = 0; i < oid.len; i++) {
        if (begins && oid.data[i] == 0x80)
            reader_fail(reader, MALFORMED);
        begins = !(oid.data[i] & 0x80);
    }
    if (oid.len == 0 || !begins)
        reader_fail(reader, MALFORMED);
    return oid;
}

bool der_is_next(const struct reader *reader, unsigned tag)
{
    return reader->status == OK && reader->rest.len && peek_u8(reader) == tag;
}

/* §11.1: true is 0xff; §11.5: what is the default is left out. */
bool der_take_true(struct reader *reader)
{
    if (!der_is_next(reader, DER_BOOLEAN))
        return false;
    struct bytes value = der_take(reader, DER_BOOLEAN);
    if (value.len != 1 || value.data[0] != 0xff)
        reader_fail(reader, MALFORMED);
    return reader->status == OK;
}

/* §8.3.2: the first nine bits are neither all zeros nor all ones. Negative numbers are none of ours. */
static struct bytes take_number(struct reader *reader)
{
    struct bytes value = der_take(reader, DER_INTEGER);
    if (value.len == 0 || (value.data[0] & 0x80) || (value.len > 1 && value.data[0] == 0 && !(value.data[1] & 0x80)))
        reader_fail(reader, MALFORMED);
    return reader->status == OK ? value : (struct bytes){0};
}

struct bytes der_take_positive(struct reader *reader)
{
    struct bytes value = take_number(reader);
    if (value.len == 0 || value.data[0])
        return value;
    if (value.len == 1)
        reader_fail(reader, MALFORMED);
    return bytes_slice(value, 1, value.len - 1);
}

uint16_t der_take_small(struct reader *reader)
{
    struct bytes value = take_number(reader);
    if (value.len > 2)
        reader_fail(reader, MALFORMED);
    struct reader digits = reader_over(value);
    return reader->status != OK ? 0 : value.len == 2 ? take_u16be(&digits) : take_u8(&digits);
}

struct bytes der_take_bits(struct reader *reader)
{
    struct reader bits = reader_over(der_take(reader, DER_BIT_STRING));
    if (take_u8(&bits) != 0 || bits.status != OK)
        reader_fail(reader, MALFORMED);
    return take_rest(&bits);
}

enum status der_end(const struct reader *reader)
{
    enum status status = reader_end(reader);
    return status == TRUNCATED ? MALFORMED : status;
}

/* ---- Time: proleptic Gregorian, counted from 1 March of year 0, so that the leap day is a year's last ---- */

static int64_t days_before(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}

#define EPOCH_DAYS 719468 /* days_before(1970, 1, 1) */

static unsigned take_digits(struct reader *reader, size_t count)
{
    unsigned number = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t digit = take_u8(reader);
        if (digit < '0' || digit > '9')
            reader_fail(reader, MALFORMED);
        number = number * 10 + (digit & 0x0f);
    }
    return number;
}

static unsigned days_in(unsigned year, unsigned month)
{
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 ? (leap ? 29 : 28) : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Seconds are written, fractions and zones are not; dates to 2049 are UTCTime, later ones GeneralizedTime. */
int64_t der_take_time(struct reader *reader)
{
    bool utc = der_is_next(reader, DER_UTC_TIME);
    struct reader text = reader_over(der_take(reader, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME));
    unsigned year = take_digits(&text, utc ? 2 : 4);
    if (utc)
        year += year < 50 ? 2000 : 1900;
    else if (year < 2050)
        reader_fail(&text, MALFORMED);
    unsigned month = take_digits(&text, 2), day = take_digits(&text, 2);
    unsigned hour = take_digits(&text, 2), minute = take_digits(&text, 2), second = take_digits(&text, 2);
    if (take_u8(&text) != 'Z' || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 59 || reader_end(&text) != OK)
        reader_fail(reader, MALFORMED);
    if (reader->status != OK)
        return 0;
    return (days_before(year, month, day) - EPOCH_DAYS) * DAY_S + hour * 3600 + minute * 60 + second;
}

static void put_digits(struct writer *writer, int64_t number, int64_t place)
{
    for (; place > 0; place /= 10)
        put_u8(writer, (uint8_t)('0' + number / place % 10));
}

#define FIRST_TIME (-631152000)      /* 1950-01-01 */
#define FIRST_GENERALIZED 2524608000 /* 2050-01-01 */

static void put_time(struct writer *writer, int64_t time_s, bool utc)
{
    if (time_s < FIRST_TIME || time_s > DER_NO_END) {
        writer_fail(writer, MALFORMED);
        return;
    }
    int64_t days = (time_s - FIRST_TIME) / DAY_S, rest = (time_s - FIRST_TIME) % DAY_S;
    int64_t year = 1950 + days / 366, month = 12;
    days += days_before(1950, 1, 1);
    while (days_before(year + 1, 1, 1) <= days)
        year++;
    while (days_before(year, month, 1) > days)
        month--;
    size_t opened = der_open(writer, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    put_digits(writer, utc ? year % 100 : year, utc ? 10 : 1000);
    put_digits(writer, month, 10);
    put_digits(writer, days - days_before(year, month, 1) + 1, 10);
    put_digits(writer, rest / 3600, 10);
    put_digits(writer, rest / 60 % 60, 10);
    put_digits(writer, rest % 60, 10);
    put_u8(writer, 'Z');
    der_close(writer, opened);
}

void der_put_time(struct writer *writer, int64_t time_s)
{
    put_time(writer, time_s, time_s < FIRST_GENERALIZED);
}

void der_put_generalized_time(struct writer *writer, int64_t time_s)
{
    put_time(writer, time_s, false);
}

/* ---- Writing: one byte is kept for the length, and the contents make way when it needs more ---- */

size_t der_open(struct writer *writer, unsigned tag)
{
    put_u8(writer, (uint8_t)tag);
    put_u8(writer, 0);
    return writer->len;
}

void der_close(struct writer *writer, size_t opened)
{
    if (writer->status != OK)
        return;
    size_t len = writer->len - opened, more = len < 0x80 ? 0 : len < 0x100 ? 1 : 2;
    if (len > LENGTH_MAX)
        writer_fail(writer, NO_ROOM);
    if ((more && !put_space(writer, more)) || writer->status != OK)
        return;
    for (size_t i = len; more && i > 0; i--)
        writer->data[opened + more + i - 1] = writer->data[opened + i - 1];
    struct writer head = writer_over(&writer->data[opened - 1], 1 + more);
    if (more)
        put_u8(&head, (uint8_t)(0x80 + more));
    if (more == 2)
        put_u16be(&head, (uint16_t)len);
    else
        put_u8(&head, (uint8_t)len);
}

void der_put(struct writer *writer, unsigned tag, struct bytes contents)
{
    size_t opened = der_open(writer, tag);
    put_bytes(writer, contents);
    der_close(writer, opened);
}

void der_put_positive(struct writer *writer, struct bytes number)
{
    struct reader digits = reader_over(number);
    while (digits.rest.len > 1 && peek_u8(&digits) == 0)
        (void)take_u8(&digits);
    size_t opened = der_open(writer, DER_INTEGER);
    if (peek_u8(&digits) & 0x80)
        put_u8(writer, 0);
    put_bytes(writer, take_rest(&digits));
    der_close(writer, opened);
}

void der_put_small(struct writer *writer, uint16_t number)
{
    uint8_t digits[2] = {(uint8_t)(number >> 8), (uint8_t)number};
    der_put_positive(writer, BYTES_OF(digits));
}

void der_put_bits(struct writer *writer, struct bytes whole_bytes)
{
    size_t opened = der_open(writer, DER_BIT_STRING);
    put_u8(writer, 0);
    put_bytes(writer, whole_bytes);
    der_close(writer, opened);
}
