/* What bastide vtpm --help and its verbs' say, which is their documentation, too. */
#include "command_internal.h"

const char command_vtpm_help[] =
    "Usage: bastide vtpm VERB NAME [OPTION]...\n"
    "       bastide vtpm VERB --help\n"
    "\n"
    "A vTPM is a TPM 2.0 for one VM. It runs in an enclave of this home's node, and its state is sealed: nobody who\n"
    "administers the machine can read it, copy it, or bring an earlier one back. docs/vtpm.md tells all of it.\n"
    "\n"
    "Verbs:\n"
    "  create            make one: launched, appraised, certified\n"
    "  list              all of this home\n"
    "  show              what one is, and what to tell QEMU\n"
    "  start             put it in front of its VM\n"
    "  stop              take it away from its VM\n"
    "  run               start a VM from what the monitor measured\n"
    "  policy            what you let happen to it, signed\n"
    "  tag               what a node is and where, in its own vTPM\n"
    "  export-ek         its endorsement key certificates\n"
    "  export-platform   its platform certificate\n"
    "  verify            a VM's quote, from there to the node's hardware\n"
    "  delete            for good\n"
    "  backup            a sealed copy of its state\n"
    "  restore           a new one from a backup\n"
    "  migrate           to another node of the same owner\n";

static const char create_page[] =
    "Usage: bastide vtpm create NAME [--id UUID] [--tenant TEXT] [--image DIR] [--state-max BYTES] [--start [--on]]\n"
    "\n"
    "Has the node launch it, holds its evidence to owner/pins.json (this owner, this node's TPM, the measurement of\n"
    "--image), has the site CA certify its endorsement keys, and writes the certificates into it, where TPM users "
    "look\n"
    "for them. It needs the node and its hub to be up. If it is cut, the same words take it up, or delete undoes it.\n"
    "One that libvirt made is certified in the same way, as long as no VM was started with it.\n"
    "\n"
    "  --id UUID           the VM's UUID, which the certificates name (random if left out)\n"
    "  --tenant TEXT       whose VM it is, up to 63 bytes, in the certificates (\"default\")\n"
    "  --image DIR         its enclave image (vtpm.image beside this program); other images of the same signer may\n"
    "                      take its place later\n"
    "  --state-max BYTES   signs a machine policy with this limit: see policy\n"
    "  --start             start it as well; --on: and switch it on\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm create web1 --tenant acme --start\n"
    "  bastide vtpm create web2 --id \"$(virsh domuuid web2)\" --state-max 32768\n";

static const char list_page[] =
    "Usage: bastide vtpm list\n"
    "\n"
    "What each is at present: stopped, running, attached (a bastide-vtpm serves it that start did not begin), "
    "unfinished\n"
    "(its making was cut), lost (the node's part is gone), foreign (another owner's, or of another mode).\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm list\n"
    "  bastide vtpm list --json | jq -r '.[] | select(.state == \"running\") | .name'\n";

static const char show_page[] = "Usage: bastide vtpm show NAME\n"
                                "\n"
                                "Who it is, its limit, its image, its certificates and until when they hold; while it "
                                "runs also its processes, the\n"
                                "memory of its enclave, and how QEMU and tpm2-tools are given it.\n"
                                "\n"
                                "Examples:\n"
                                "  bastide vtpm show web1\n"
                                "  bastide vtpm show web1 --json | jq -r .sockets.qemu\n";

static const char start_page[] =
    "Usage: bastide vtpm start NAME [--on] [--fsync yes | no] [--foreground]\n"
    "\n"
    "Starts bastide-vtpm in the background, with its sockets in run/vtpm/NAME/, and says what to tell QEMU. A VM "
    "switches\n"
    "its TPM on itself. bastide down stops all that run.\n"
    "\n"
    "  --on                switch it on, for tools that use a TPM without a VM\n"
    "  --fsync no          answer when a change is with the kernel, not when it is on the disk: as fast as swtpm, and "
    "when\n"
    "                      the power fails the last second may be lost, for swtpm's half a minute. yes is what it "
    "does\n"
    "                      else. Processes that are killed cost nothing either way\n"
    "  --foreground        be bastide-vtpm, until SIGTERM: for systemd\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm start web1\n"
    "  bastide vtpm start tools --on && TPM2TOOLS_TCTI=swtpm:path=$HOME/.bastide/run/vtpm/tools/tpm tpm2_getrandom 8\n";

static const char stop_page[] =
    "Usage: bastide vtpm stop NAME\n"
    "\n"
    "As switching a machine off: what it acknowledged is kept. A VM that runs with it loses its TPM.\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm stop web1\n";

static const char run_page[] =
    "Usage: bastide vtpm run NAME [--launch PART=FILE,...] [--launch-cmdline TEXT] [--fsync yes | no] -- COMMAND...\n"
    "\n"
    "Has the monitor measure what the VM is started from, and starts COMMAND with just that: {kernel} in it is the "
    "memory\n"
    "that was measured, and so are {firmware}, {initrd}, {cmdline}, {disk}. Exit code 15: it was not measured, or the\n"
    "machine policy allows another; 16: COMMAND failed. docs/launch.md has more.\n"
    "\n"
    "  --launch PART=FILE,...\n"
    "                      firmware, kernel, initrd, disk (the file of its policy)\n"
    "  --launch-cmdline TEXT\n"
    "  --fsync no          as start has it\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm run web1 --launch kernel=vmlinuz,initrd=initrd.img --launch-cmdline quiet -- qemu-system-x86_64 … "
    "\\\n"
    "    -kernel {kernel} -initrd {initrd} -append {cmdline}\n";

static const char policy_page[] =
    "Usage: bastide vtpm policy NAME [--snapshots | --no-snapshots] [--launch none | hash | hash-and-enforce]\n"
    "                           [--allow PART=FILE]... [--allow-sha256 PART=HEX]... [--state-max BYTES]\n"
    "                           [--tenant TEXT] [--hypervisor | --no-hypervisor]\n"
    "\n"
    "Signs its machine policy, for its next start: whether its state may be taken back (savevm, virsh save), how large "
    "it\n"
    "may get, and what its VM may be started from, measured by the monitor. What is not given stays as it was; the "
    "first\n"
    "--allow of a part takes the place of all that part had. NAME alone shows what is. The vTPM takes no earlier one\n"
    "afterwards, wherever it moves.\n"
    "\n"
    "  --snapshots         allow them; --no-snapshots: refuse them, as without a policy\n"
    "  --launch WHAT       none: measured if asked for; hash: before the vTPM answers; hash-and-enforce: and allowed "
    "only\n"
    "  --allow PART=FILE   firmware, kernel, initrd or disk (its policy file), to be hashed; cmdline=TEXT\n"
    "  --allow-sha256 PART=HEX\n"
    "                      the same by its SHA-256\n"
    "  --state-max BYTES   what its state may come to, 16384 to 114688 (114688): the last 6144 of them are kept free, "
    "and\n"
    "                      who wants more is told TPM_RC_NV_SPACE; a lower one takes nothing away\n"
    "  --tenant TEXT       whose VM it is\n"
    "  --hypervisor        it is the node's own vTPM: the node's launches are told to it (docs/launch.md)\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm policy web1 --snapshots\n"
    "  bastide vtpm policy web1 --state-max 32768\n"
    "  bastide vtpm policy web1 --launch hash-and-enforce --allow kernel=vmlinuz --allow cmdline='quiet'\n";

static const char tag_page[] =
    "Usage: bastide vtpm tag NAME [--asset NAME=VALUE]... [--region CODE] [--at LATITUDE,LONGITUDE] [--days N]\n"
    "\n"
    "Signs what a node is and where, and writes it into its own vTPM, which runs (start NAME --on): anybody reads it "
    "there\n"
    "and nobody changes it. NAME alone shows the one that counts. docs/launch.md has more.\n"
    "\n"
    "  --asset NAME=VALUE  as often as there are some\n"
    "  --region CODE       ISO 3166: CO, CO-DC\n"
    "  --at LATITUDE,LONGITUDE\n"
    "                      degrees, WGS-84\n"
    "  --days N            until when it counts (365)\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm tag node --asset rack=B7 --region CO-DC --at 4.6,-74.1\n"
    "  bastide vtpm tag node\n";

static const char export_ek_page[] =
    "Usage: bastide vtpm export-ek NAME [--kind KIND] [--pem | --der] [-o FILE]\n"
    "\n"
    "Writes the certificates that its owner keeps, without starting anything. With --json: PEM by kind.\n"
    "\n"
    "  --kind KIND         rsa2048, p256 or p384 (all three if left out, in PEM)\n"
    "  --pem, --der        the form (PEM)\n"
    "  -o, --output FILE   where to write (standard output)\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm export-ek web1 --kind p256 -o web1.pem\n"
    "  bastide vtpm export-ek web1 --kind rsa2048 --der | openssl x509 -inform DER -noout -text\n";

static const char export_platform_page[] =
    "Usage: bastide vtpm export-platform NAME [-o FILE]\n"
    "\n"
    "Writes the platform certificate, a DER attribute certificate (RFC 5755): on which node, as what and with which "
    "image\n"
    "it was made. It says so for good: verify --platform-certificate tells whether it is still there. With --json:\n"
    "{\"platform\": the DER in base64url}.\n"
    "\n"
    "  -o, --output FILE   where to write (standard output)\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm export-platform web1 -o web1-platform.der\n";

static const char verify_page[] =
    "Usage: bastide vtpm verify NAME --ak HANDLE --quote FILE --signature FILE --nonce HEX [--pcrs FILE]\n"
    "                           [--answer FILE | --save FILE] [--ek-certificate FILE] [--platform-certificate FILE]\n"
    "                           [--policy FILE] [--measured-launch]\n"
    "\n"
    "Walks from a quote that the VM gave to the node's hardware, and tells each link: TPM, monitor, image, "
    "configuration,\n"
    "the vTPM's keys and certificates, the VM's attestation key, its quote, the nonce and the PCRs. It says what the "
    "vTPM\n"
    "was told, not who told it: whoever has the vTPM's socket can. Exit code 5 when a link is refused.\n"
    "\n"
    "  --ak HANDLE         where the VM's attestation key persists (tpm2_evictcontrol): 0x81000000 to 0x81ffffff\n"
    "  --quote FILE        what tpm2_quote -m writes; --signature FILE: what -s writes; --nonce HEX: what -q was "
    "given\n"
    "  --pcrs FILE         the values to expect, as tpm2_pcrread prints them (any, and that is said)\n"
    "  --save FILE         keep the vTPM's answer; --answer FILE: take it from there instead of asking the vTPM\n"
    "  --ek-certificate FILE\n"
    "                      an EK certificate, DER, to hold to this site's CA (the one that is kept)\n"
    "  --platform-certificate FILE\n"
    "                      a platform certificate, DER, to be of the node and image that the vTPM runs on now; of the "
    "one\n"
    "                      that is kept it is told where it is not (a vTPM that moved or was upgraded)\n"
    "  --policy FILE       the machine policy that it is to run under, owner/vtpm/NAME/policy (any)\n"
    "  --measured-launch   refuse unless the monitor measured what the VM was started from\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm verify web1 --ak 0x81010002 --quote attest --signature sig --nonce \"$NONCE\" --pcrs pcrs\n";

static const char delete_page[] =
    "Usage: bastide vtpm delete NAME [--yes]\n"
    "\n"
    "Has the monitor forget it, on your signed word. What VMs sealed to it cannot be opened again, not even with a "
    "copy of\n"
    "its files; a backup that was made before can be restored. It needs the node to be up.\n"
    "\n"
    "  --yes               do not ask\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm delete web1 --yes\n";

static const char backup_page[] =
    "Usage: bastide vtpm backup NAME -o FILE\n"
    "\n"
    "Sealed for owner/vtpm-backup.key (made with the first backup, in the open: keep it elsewhere), while it goes on;\n"
    "whoever has both has its keys. It holds what survives a loss of power.\n"
    "\n"
    "  -o, --output FILE   where to write\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm backup web1 -o web1.backup\n";

static const char restore_page[] = "Usage: bastide vtpm restore NAME FILE --gone [--tenant TEXT] [--image DIR]\n"
                                   "\n"
                                   "Has a new vTPM of the same id land what was backed up. Say --gone when the one "
                                   "that was is gone for good: if it is\n"
                                   "not, there are two then. Its certificates come with it; its machine policy, where "
                                   "a deletion took that along, is one\n"
                                   "without snapshots until you sign another.\n"
                                   "\n"
                                   "  --gone              what was backed up is gone\n"
                                   "  --tenant TEXT       whose VM it is (\"default\")\n"
                                   "  --image DIR         its enclave image (vtpm.image beside this program)\n"
                                   "\n"
                                   "Examples:\n"
                                   "  bastide vtpm delete web1 --yes && bastide vtpm restore web1 web1.backup --gone\n";

static const char migrate_page[] =
    "Usage: bastide vtpm migrate NAME --to HOME [--prepare | --finish | --abort]\n"
    "       bastide vtpm migrate NAME --abort --lost\n"
    "\n"
    "The destination proves itself to the pins of the home that --to names, the state moves sealed for it alone, the\n"
    "source forgets it. While a VM uses it that is refused: --prepare, QEMU's or virsh's migrate, --finish\n"
    "(docs/vtpm.md). What was cut goes on when it is said again, and each failure says which copy can be used. For a\n"
    "node elsewhere HOME is the one made by bastide init --remote: copy node/instances/NAME there, start it there, "
    "and\n"
    "forward its socket run/vtpm/NAME/transfer to the same name below HOME (ssh -L does).\n"
    "\n"
    "  --to HOME           the home of the node to move to\n"
    "  --prepare, --finish that step alone\n"
    "  --abort             the destination drops what it expected, and the source goes on\n"
    "  --lost              your word that the destination is gone with all it had\n"
    "\n"
    "Examples:\n"
    "  bastide vtpm stop web1 && bastide vtpm migrate web1 --to /srv/node2\n"
    "  bastide vtpm migrate web1 --to /srv/node2 --prepare\n";

const struct command_page command_vtpm_pages[] = {
    {"create", create_page},       {"list", list_page},
    {"show", show_page},           {"start", start_page},
    {"stop", stop_page},           {"run", run_page},
    {"policy", policy_page},       {"tag", tag_page},
    {"export-ek", export_ek_page}, {"export-platform", export_platform_page},
    {"verify", verify_page},       {"delete", delete_page},
    {"backup", backup_page},       {"restore", restore_page},
    {"migrate", migrate_page},     {NULL, NULL},
};
