/* The policy text: one directive a line, grants indented by a tab under their import. */
#include <string.h>

#include "compartment_internal.h"

struct policy_reader {
    struct compartment_policy policy;
    bool named, memory, table, stack;
    char module[COMPARTMENT_NAME_MAX]; /* of the import block we are in */
    uint32_t modules_count, line;
    struct writer *why;
};

void say(struct writer *why, const char *text)
{
    if (why != NULL && why->status == OK && why->cap - why->len > strlen(text))
        put_text(why, text);
}

void say_number(struct writer *why, uint64_t number)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    say(why, digits + at);
}

static enum status refuse(struct policy_reader *reader, enum status status, const char *text)
{
    say(reader->why, "policy line ");
    say_number(reader->why, reader->line);
    say(reader->why, ": ");
    say(reader->why, text);
    return status;
}

/* Printable ASCII without blanks, short enough for a name. */
static bool copy_token(struct bytes token, char name[COMPARTMENT_NAME_MAX])
{
    if (token.len == 0 || token.len >= COMPARTMENT_NAME_MAX)
        return false;
    for (size_t i = 0; i < token.len; i++)
        if (token.data[i] <= ' ' || token.data[i] > '~')
            return false;
    memcpy(name, token.data, token.len);
    name[token.len] = '\0';
    return true;
}

static bool read_number(struct bytes token, uint32_t max, uint32_t *number)
{
    if (token.len == 0 || token.len > 9 || (token.data[0] == '0' && token.len > 1))
        return false;
    uint32_t value = 0;
    for (size_t i = 0; i < token.len; i++) {
        if (token.data[i] < '0' || token.data[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(token.data[i] - '0');
    }
    if (value > max)
        return false;
    *number = value;
    return true;
}

static enum status read_cap(struct policy_reader *reader, struct bytes token, uint32_t max, bool *seen, uint32_t *cap)
{
    if (*seen)
        return refuse(reader, MALFORMED, "this directive may stand only once");
    *seen = true;
    if (!read_number(token, max, cap)) {
        refuse(reader, NO_ROOM, "expected a number of at most ");
        say_number(reader->why, max);
        return NO_ROOM;
    }
    return OK;
}

static enum status read_grant(struct policy_reader *reader, struct bytes token)
{
    struct compartment_policy *policy = &reader->policy;
    if (reader->module[0] == '\0')
        return refuse(reader, MALFORMED, "a function name outside an import");
    if (policy->grants_count == COMPARTMENT_IMPORTS_MAX)
        return refuse(reader, NO_ROOM, "too many functions");
    struct compartment_grant *grant = &policy->grants[policy->grants_count];
    if (!copy_token(token, grant->function))
        return refuse(reader, MALFORMED, "not a function name of at most 63 printable letters");
    memcpy(grant->module, reader->module, sizeof(grant->module));
    for (size_t i = 0; i < policy->grants_count; i++)
        if (strcmp(policy->grants[i].module, grant->module) == 0 &&
            strcmp(policy->grants[i].function, grant->function) == 0)
            return refuse(reader, MALFORMED, "this function is granted already");
    grant->line = reader->line;
    policy->grants_count++;
    return OK;
}

static enum status read_directive(struct policy_reader *reader, struct bytes word, struct bytes value)
{
    struct compartment_policy *policy = &reader->policy;
    if (bytes_equal(word, bytes_from_text("import"))) {
        if (!copy_token(value, reader->module))
            return refuse(reader, MALFORMED, "expected: import MODULE");
        if (reader->modules_count++ == COMPARTMENT_MODULES_MAX)
            return refuse(reader, NO_ROOM, "too many imports");
        return OK;
    }
    if (reader->module[0] != '\0')
        return refuse(reader, MALFORMED, "only imports may follow the first import");
    if (bytes_equal(word, bytes_from_text("compartment"))) {
        if (reader->named || !copy_token(value, policy->name))
            return refuse(reader, MALFORMED, "expected, once: compartment NAME");
        reader->named = true;
        return OK;
    }
    if (bytes_equal(word, bytes_from_text("memory")))
        return read_cap(reader, value, COMPARTMENT_PAGES_MAX, &reader->memory, &policy->memory_pages);
    if (bytes_equal(word, bytes_from_text("table")))
        return read_cap(reader, value, COMPARTMENT_TABLE_MAX, &reader->table, &policy->table_elements);
    if (bytes_equal(word, bytes_from_text("stack")))
        return read_cap(reader, value, COMPARTMENT_STACK_MAX, &reader->stack, &policy->stack_bytes);
    return refuse(reader, UNSUPPORTED, "no such directive");
}

static enum status read_line(struct policy_reader *reader, struct bytes line)
{
    if (reader->line == 1)
        return bytes_equal(line, bytes_from_text("Version 1"))
                   ? OK
                   : refuse(reader, UNSUPPORTED, "the first line must be: Version 1");
    if (line.len == 0 || line.data[0] == '#')
        return OK;
    if (line.data[0] == '\t')
        return read_grant(reader, bytes_slice(line, 1, line.len - 1));
    const uint8_t *blank = memchr(line.data, ' ', line.len);
    if (blank == NULL)
        return refuse(reader, MALFORMED, "expected a directive, a blank and its value");
    size_t word = (size_t)(blank - line.data);
    return read_directive(reader, bytes_slice(line, 0, word), bytes_slice(line, word + 1, line.len - word - 1));
}

enum status compartment_policy_read(struct bytes text, struct compartment_policy *policy, struct writer *why)
{
    struct policy_reader reader = {.why = why};
    if (text.len > COMPARTMENT_POLICY_MAX)
        return refuse(&reader, NO_ROOM, "the policy is longer than 16384 bytes");
    size_t off = 0;
    do {
        struct bytes rest = bytes_slice(text, off, text.len - off);
        const uint8_t *end = rest.len == 0 ? NULL : memchr(rest.data, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        reader.line++;
        TRY(read_line(&reader, bytes_slice(rest, 0, len)));
        off += len + 1;
    } while (off < text.len);
    if (!reader.named || !reader.memory || !reader.table || !reader.stack)
        return refuse(&reader, TRUNCATED, "compartment, memory, table and stack must all be given");
    if (reader.policy.stack_bytes < 4 * PAGE)
        return refuse(&reader, NO_ROOM, "the stack must have at least 16384 bytes");
    reader.policy.lines = reader.line;
    *policy = reader.policy;
    return OK;
}
