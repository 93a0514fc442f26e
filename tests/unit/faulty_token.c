/* A PKCS #11 module over SoftHSM's that is what the environment says, asked at each call:
 *   FAULTY_FROM=N    from the N-th call after C_Initialize on every one fails with FAULTY_ANSWER (a number; 0x32 is
 *                    CKR_DEVICE_REMOVED, as when somebody pulls the token out)
 *   FAULTY_FLAGS=X   CK_TOKEN_INFO has these flags too; FAULTY_NO_FLAGS=X: and these not
 *   FAULTY_LOGIN=X   C_Login answers this whatever the PIN
 *   FAULTY_PAD=PIN   the PIN that somebody types on the token's own pad when C_Login brings none
 *   FAULTY_POINT=1   CKA_EC_POINT is not told; 2: without its OCTET STRING; 3: with a byte behind; N: N - 4 bytes of it
 *   FAULTY_SIGN=1    a bit of each signature is turned; 2: it is a byte short */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *real, faulty;
static unsigned long calls;

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static unsigned long setting(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 0) : 0;
}

static CK_RV fate(void)
{
    unsigned long from = setting("FAULTY_FROM");
    return from && ++calls >= from ? setting("FAULTY_ANSWER") : CKR_OK;
}

#define FATE                                                                                                           \
    do {                                                                                                               \
        CK_RV fate_ = fate();                                                                                          \
        if (fate_ != CKR_OK)                                                                                           \
            return fate_;                                                                                              \
    } while (0)

static CK_RV initialize(void *arguments)
{
    calls = 0;
    return real->C_Initialize(arguments);
}

static CK_RV get_info(CK_INFO *info)
{
    FATE;
    return real->C_GetInfo(info);
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    FATE;
    return real->C_GetSlotList(present, slots, count);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    FATE;
    CK_RV answer = real->C_GetTokenInfo(slot, info);
    info->flags |= setting("FAULTY_FLAGS");
    info->flags &= ~setting("FAULTY_NO_FLAGS");
    return answer;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *session)
{
    FATE;
    return real->C_OpenSession(slot, flags, application, notify, session);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG len)
{
    FATE;
    CK_RV answer = setting("FAULTY_LOGIN");
    const char *typed = getenv("FAULTY_PAD");
    unsigned char room[64];
    if (answer && user == CKU_USER)
        return answer;
    if (pin || !typed)
        return real->C_Login(session, user, pin, len);
    len = strlen(typed) < sizeof room ? strlen(typed) : sizeof room;
    memcpy(room, typed, len);
    return real->C_Login(session, user, room, len);
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG count)
{
    FATE;
    return real->C_FindObjectsInit(session, wanted, count);
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG cap, CK_ULONG *count)
{
    FATE;
    return real->C_FindObjects(session, objects, cap, count);
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session)
{
    FATE;
    return real->C_FindObjectsFinal(session);
}

static void bend(CK_ATTRIBUTE *point, unsigned long how)
{
    unsigned char *told = point->pValue;
    if (how == 2) {
        point->ulValueLen -= 2;
        memmove(told, told + 2, point->ulValueLen);
    } else if (how == 3)
        told[point->ulValueLen++] = 0;
    else
        point->ulValueLen = how - 4;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
                                 CK_ULONG count)
{
    FATE;
    unsigned long how = setting("FAULTY_POINT");
    if (count != 1 || attributes[0].type != CKA_EC_POINT || how == 0)
        return real->C_GetAttributeValue(session, object, attributes, count);
    CK_RV answer = how == 1 ? CKR_ATTRIBUTE_TYPE_INVALID : real->C_GetAttributeValue(session, object, attributes, 1);
    if (answer == CKR_OK)
        bend(&attributes[0], how);
    return answer;
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session, CK_MECHANISM *how, CK_ATTRIBUTE *of_public,
                               CK_ULONG public_count, CK_ATTRIBUTE *of_private, CK_ULONG private_count,
                               CK_OBJECT_HANDLE *public_half, CK_OBJECT_HANDLE *private_half)
{
    FATE;
    return real->C_GenerateKeyPair(session, how, of_public, public_count, of_private, private_count, public_half,
                                   private_half);
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *how, CK_OBJECT_HANDLE key)
{
    FATE;
    return real->C_SignInit(session, how, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char *text, CK_ULONG len, unsigned char *signature,
                  CK_ULONG *signature_len)
{
    FATE;
    CK_RV answer = real->C_Sign(session, text, len, signature, signature_len);
    if (answer == CKR_OK && setting("FAULTY_SIGN") == 1)
        signature[7] ^= 1;
    if (answer == CKR_OK && setting("FAULTY_SIGN") == 2)
        --*signature_len;
    return answer;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    CK_C_GetFunctionList get = NULL;
    memcpy(&get, &symbol, sizeof get); /* the language has no cast for it */
    if (!get || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    faulty = *real;
    faulty.C_Initialize = initialize;
    faulty.C_GetFunctionList = C_GetFunctionList;
    faulty.C_GetInfo = get_info;
    faulty.C_GetSlotList = get_slot_list;
    faulty.C_GetTokenInfo = get_token_info;
    faulty.C_OpenSession = open_session;
    faulty.C_Login = login;
    faulty.C_FindObjectsInit = find_objects_init;
    faulty.C_FindObjects = find_objects;
    faulty.C_FindObjectsFinal = find_objects_final;
    faulty.C_GetAttributeValue = get_attribute_value;
    faulty.C_GenerateKeyPair = generate_key_pair;
    faulty.C_SignInit = sign_init;
    faulty.C_Sign = sign;
    *list = &faulty;
    return CKR_OK;
}
