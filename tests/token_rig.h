/* Tokens for tests: SoftHSM's in a directory of their own, behind a module that fails when it is told to
 * (faulty_token.c), and what others may have put into them. */
#ifndef BASTIDE_TESTS_TOKEN_RIG_H
#define BASTIDE_TESTS_TOKEN_RIG_H

#include "check.h"
#include "crypto.h"

#include <limits.h>
#include <p11-kit/p11-kit.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RIG_PIN "123456"
#define RIG_SO_PIN "87654321"

static char rig_directory[PATH_MAX];
static const char *rig_module; /* faulty_token.so; the test's first argument */

/* Someone else at the same token, with a session that may write. */
struct rig_other {
    CK_FUNCTION_LIST *module;
    CK_SESSION_HANDLE session;
};

static inline CK_FUNCTION_LIST *rig_load(void)
{
    CK_FUNCTION_LIST *module = p11_kit_module_load(rig_module, 0);
    assert_non_null(module);
    assert_int_equal(p11_kit_module_initialize(module), CKR_OK);
    return module;
}

static inline void rig_unload(CK_FUNCTION_LIST *module)
{
    assert_int_equal(p11_kit_module_finalize(module), CKR_OK);
    p11_kit_module_release(module);
}

/* SoftHSM keeps one uninitialised token behind the others. */
static inline CK_SLOT_ID rig_slot(CK_FUNCTION_LIST *module, const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_TOKEN_INFO info;
    assert_int_equal(module->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        assert_int_equal(module->C_GetTokenInfo(slots[i], &info), CKR_OK);
        bool blank = !(info.flags & CKF_TOKEN_INITIALIZED);
        if (label ? !blank && memcmp(info.label, label, strlen(label)) == 0 : blank)
            return slots[i];
    }
    fail_msg("no token %s", label ? label : "to initialise");
    return 0;
}

static inline struct rig_other rig_open_as(const char *label, CK_USER_TYPE user, const char *pin)
{
    struct rig_other other = {.module = rig_load()};
    unsigned char room[64];
    memcpy(room, pin, strlen(pin));
    assert_int_equal(other.module->C_OpenSession(rig_slot(other.module, label), CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                                 NULL, NULL, &other.session),
                     CKR_OK);
    assert_int_equal(other.module->C_Login(other.session, user, room, strlen(pin)), CKR_OK);
    return other;
}

static inline struct rig_other rig_open(const char *label)
{
    return rig_open_as(label, CKU_USER, RIG_PIN);
}

static inline void rig_close(struct rig_other *other)
{
    assert_int_equal(other->module->C_CloseSession(other->session), CKR_OK);
    rig_unload(other->module);
}

static inline void rig_make_token(const char *label)
{
    CK_FUNCTION_LIST *module = rig_load();
    unsigned char name[32], pin[] = RIG_PIN, so_pin[] = RIG_SO_PIN;
    memset(name, ' ', sizeof name);
    memcpy(name, label, strlen(label));
    assert_int_equal(module->C_InitToken(rig_slot(module, NULL), so_pin, sizeof so_pin - 1, name), CKR_OK);
    rig_unload(module);
    struct rig_other other = rig_open_as(label, CKU_SO, RIG_SO_PIN);
    assert_int_equal(other.module->C_InitPIN(other.session, pin, sizeof pin - 1), CKR_OK);
    rig_close(&other);
}

struct rig_key {
    const char *label;
    uint8_t id;
    bool p384, extractable, mute, asks_each_time, without_public;
};

static inline void rig_make_key(struct rig_other *other, const struct rig_key *wish)
{
    static uint8_t curves[2][10] = {{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
                                    {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}};
    CK_BBOOL yes = CK_TRUE, signs = !wish->mute, given_away = wish->extractable, asks = wish->asks_each_time;
    CK_BBOOL kept = !wish->without_public;
    CK_MECHANISM how = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE halves[2];
    char label[64];
    uint8_t id = wish->id;
    snprintf(label, sizeof label, "%s", wish->label);
    CK_ATTRIBUTE of_public[] = {{CKA_EC_PARAMS, curves[wish->p384], wish->p384 ? 7 : 10},
                                {CKA_LABEL, label, strlen(label)},
                                {CKA_ID, &id, 1},
                                {CKA_TOKEN, &kept, sizeof kept}};
    CK_ATTRIBUTE of_private[] = {{CKA_LABEL, label, strlen(label)},
                                 {CKA_ID, &id, 1},
                                 {CKA_TOKEN, &yes, sizeof yes},
                                 {CKA_PRIVATE, &yes, sizeof yes},
                                 {CKA_SENSITIVE, &yes, sizeof yes},
                                 {CKA_SIGN, &signs, sizeof signs},
                                 {CKA_ALWAYS_AUTHENTICATE, &asks, sizeof asks},
                                 {CKA_EXTRACTABLE, &given_away, sizeof given_away}};
    assert_int_equal(
        other->module->C_GenerateKeyPair(other->session, &how, of_public, 4, of_private, 8, &halves[0], &halves[1]),
        CKR_OK);
}

/* A private key that was made outside, from its scalar. */
static inline void rig_put_key(struct rig_other *other, const char *name, const struct crypto_key *key)
{
    static uint8_t curve[10] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    uint8_t point[67] = {0x04, 65};
    char label[64];
    SECRET scalar = {.len = 0};
    CK_OBJECT_CLASS classes[2] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    CK_KEY_TYPE type = CKK_EC;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_HANDLE object;
    snprintf(label, sizeof label, "%s", name);
    memcpy(point + 2, key->public_key.data, 65);
    check_ok(crypto_key_export(key, &scalar));
    CK_ATTRIBUTE both[] = {{CKA_CLASS, &classes[0], sizeof classes[0]},
                           {CKA_KEY_TYPE, &type, sizeof type},
                           {CKA_LABEL, label, strlen(label)},
                           {CKA_TOKEN, &yes, sizeof yes},
                           {CKA_EC_PARAMS, curve, sizeof curve},
                           {CKA_VALUE, scalar.data, scalar.len},
                           {CKA_SENSITIVE, &yes, sizeof yes},
                           {CKA_EXTRACTABLE, &no, sizeof no},
                           {CKA_SIGN, &yes, sizeof yes},
                           {CKA_PRIVATE, &yes, sizeof yes}};
    assert_int_equal(other->module->C_CreateObject(other->session, both, 10, &object), CKR_OK);
    both[0].pValue = &classes[1];
    both[5] = (CK_ATTRIBUTE){CKA_EC_POINT, point, sizeof point};
    assert_int_equal(other->module->C_CreateObject(other->session, both, 6, &object), CKR_OK);
}

static inline void rig_make_rsa_key(struct rig_other *other, const char *name)
{
    CK_MECHANISM how = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG bits = 1024;
    CK_OBJECT_HANDLE halves[2];
    char label[64];
    snprintf(label, sizeof label, "%s", name);
    CK_ATTRIBUTE of_public[] = {{CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_LABEL, label, strlen(label)}};
    CK_ATTRIBUTE of_private[] = {{CKA_TOKEN, &yes, sizeof yes}, {CKA_LABEL, label, strlen(label)}};
    assert_int_equal(
        other->module->C_GenerateKeyPair(other->session, &how, of_public, 2, of_private, 2, &halves[0], &halves[1]),
        CKR_OK);
}

static inline void rig_put_data(struct rig_other *other, const char *name)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_HANDLE object;
    char label[64];
    snprintf(label, sizeof label, "%s", name);
    CK_ATTRIBUTE all[] = {{CKA_CLASS, &class, sizeof class},
                          {CKA_TOKEN, &yes, sizeof yes},
                          {CKA_LABEL, label, strlen(label)},
                          {CKA_VALUE, label, strlen(label)}};
    assert_int_equal(other->module->C_CreateObject(other->session, all, 4, &object), CKR_OK);
}

/* How many private keys have this label. */
static inline size_t rig_count_keys(struct rig_other *other, const char *name)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_OBJECT_HANDLE objects[16];
    CK_ULONG count = 0;
    char label[64];
    snprintf(label, sizeof label, "%s", name);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
    assert_int_equal(other->module->C_FindObjectsInit(other->session, wanted, 2), CKR_OK);
    assert_int_equal(other->module->C_FindObjects(other->session, objects, 16, &count), CKR_OK);
    assert_int_equal(other->module->C_FindObjectsFinal(other->session), CKR_OK);
    return count;
}

static inline void rig_start(const char *module)
{
    char tokens[PATH_MAX + 16], file[PATH_MAX + 16];
    snprintf(rig_directory, sizeof rig_directory, "/tmp/bastide-token-XXXXXX");
    assert_non_null(mkdtemp(rig_directory));
    snprintf(tokens, sizeof tokens, "%s/tokens", rig_directory);
    snprintf(file, sizeof file, "%s/softhsm2.conf", rig_directory);
    check_ok(mkdir(tokens, 0700));
    FILE *configuration = fopen(file, "w");
    assert_non_null(configuration);
    fprintf(configuration, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
    check_ok(fclose(configuration));
    check_ok(setenv("SOFTHSM2_CONF", file, 1));
    rig_module = module;
}

static inline int rig_stop(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(execlp("rm", "rm", "-rf", rig_directory, NULL));
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}

#endif
