"""What a reader of others' making (pyasn1, RFC 5755) finds in a platform certificate.

    attribute_certificate.py FILE.der TBS SIGNATURE     prints "name=value" lines; writes what is signed, and by what
"""
import sys
from pyasn1.codec.der import decoder, encoder
from pyasn1.type import char, univ
from pyasn1_modules import rfc5280, rfc5755

der = open(sys.argv[1], 'rb').read()
certificate, rest = decoder.decode(der, asn1Spec=rfc5755.AttributeCertificate())
assert not rest and encoder.encode(certificate) == der, 'not DER'
info = certificate['acinfo']
open(sys.argv[2], 'wb').write(encoder.encode(info))
open(sys.argv[3], 'wb').write(certificate['signatureValue'].asOctets())


def common_name(general_names):
    name = general_names[0]['directoryName']
    for relative in name['rdnSequence']:
        for pair in relative:
            if str(pair['type']) == '2.5.4.3':
                return str(decoder.decode(pair['value'], asn1Spec=rfc5280.DirectoryString())[0].getComponent())
    return ''


print('version=%d' % int(info['version']))
holder = info['holder']['baseCertificateID']
print('holder=%x' % int(holder['serial']))
print('holder_issuer=%s' % common_name(holder['issuer']))
print('issuer=%s' % common_name(info['issuer']['v2Form']['issuerName']))
for when in 'notBeforeTime', 'notAfterTime':
    print('%s=%s' % (when, info['attrCertValidityPeriod'][when]))
for attribute in info['attributes']:
    values = [decoder.decode(value)[0] for value in attribute['values']]
    assert len(values) == 1
    flat = []
    def walk(value):
        if isinstance(value, (univ.Sequence, univ.SequenceOf)):
            for part in value.values() if isinstance(value, univ.Sequence) else value:
                walk(part)
        elif isinstance(value, univ.OctetString) and not isinstance(value, char.UTF8String):
            flat.append(value.asOctets().hex())
        else:
            flat.append(str(value))
    walk(values[0])
    print('attribute %s=%s' % (attribute['type'], ' '.join(flat)))
for extension in info['extensions']:
    oid, value = str(extension['extnID']), extension['extnValue'].asOctets()
    print('extension %s critical=%d' % (oid, bool(extension['critical'])))
    if oid == '2.5.29.17':
        for name in decoder.decode(value, asn1Spec=rfc5280.SubjectAltName())[0]:
            if name.getName() == 'uniformResourceIdentifier':
                print('uri=%s' % name['uniformResourceIdentifier'])
            else:
                for relative in name['directoryName']['rdnSequence']:
                    for pair in relative:
                        print('name %s=%s' % (pair['type'], decoder.decode(pair['value'])[0]))
    if oid == '2.5.29.56':
        assert decoder.decode(value)[0] == univ.Null('')
