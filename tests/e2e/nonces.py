"""From a capture of the wire, every nonce a hub protected with: (client, id context, whose Partial IV, Partial IV) must
stand for one ciphertext, which may travel in blocks and more than once. Usage: nonces.py CAPTURE PORT; prints what was seen as JSON, exit 1 on a nonce used twice."""
import collections, json, struct, sys

data = open(sys.argv[1], 'rb').read()
port = int(sys.argv[2])


def datagrams():
    at = 0
    while at + 28 <= len(data):
        size, = struct.unpack('>H', data[at + 2:at + 4])
        head = (data[at] & 15) * 4
        source, target = struct.unpack('>HH', data[at + head:at + head + 4])
        if data[at + 9] == 17:
            yield source, target, data[at + head + 8:at + size]
        at += size + 8


def coap(message):
    """(code, token, OSCORE option or None, number of its block, payload)"""
    length = message[0] & 15
    code, token, at, number, option, block = message[1], message[4:4 + length], 4 + length, 0, None, 0
    while at < len(message) and message[at] != 0xff:
        delta, size = message[at] >> 4, message[at] & 15
        at += 1
        parts = []
        for part in (delta, size):
            extra = {13: 1, 14: 2}.get(part, 0)
            parts.append(part if not extra else int.from_bytes(message[at:at + extra], 'big') + (13 if extra == 1 else 269))
            at += extra
        number += parts[0]
        if number == 9:
            option = message[at:at + parts[1]]
        if number == 23:
            block = int.from_bytes(message[at:at + parts[1]], 'big') >> 4
        at += parts[1]
    return code, token, option, block, message[at + 1:]


def oscore(option):
    """(Partial IV, kid context, kid), None for what is not there"""
    if not option:
        return None, None, None
    flags, at = option[0], 1 + (option[0] & 7)
    piv, context = option[1:at] or None, None
    if flags & 16:
        context, at = option[at + 1:at + 1 + option[at]], at + 1 + option[at]
    return piv, context, option[at:] if flags & 8 else None


asked, contexts, used, twice, seen = {}, {}, {}, [], collections.Counter()
for source, target, message in datagrams():
    code, token, option, block, payload = coap(message)
    if option is None:
        continue
    piv, context, kid = oscore(option)
    if target == port and code < 32:
        if context is not None:
            contexts[source] = context
        asked[source, token] = (kid, piv, contexts.get(source))
    elif source == port and (target, token) in asked:
        kid, asked_piv, asked_context = asked[target, token]
        if context is not None:  # response #1 of Appendix B.2: under R2 || the request's context
            seen['contexts begun'] += 1
            asked_context = context + asked_context
        nonce = (kid, asked_context, 'hub' if piv else 'client', piv or asked_piv)
        seen['own Partial IV' if piv else "the request's nonce"] += 1
        if used.setdefault((nonce, block), payload) != payload:
            twice.append([str(part) for part in nonce])
print(json.dumps({**seen, 'nonces': len({nonce for nonce, _ in used}),
                  'id contexts': len({nonce[:2] for nonce, _ in used}), 'twice': twice}))
sys.exit(1 if twice else 0)
