/* What is printed for --help and --print-capabilities. */
#include "vtpm_options.h"

void vtpm_options_help(FILE *to)
{
    fputs(
        "usage: bastide-vtpm socket --tpm2 --tpmstate dir=HOME[,instance=NAME][,fsync=yes|no] [OPTION...]\n"
        "       bastide-vtpm chardev --vtpm-proxy --tpm2 --tpmstate dir=HOME[,instance=NAME] [OPTION...]\n"
        "The sockets of one vTPM, in swtpm's place: its state is sealed by an enclave that the monitor of HOME, a\n"
        "node's home, launches from HOME/node/instances/NAME, and archive.db keeps it there; without a NAME, the\n"
        "node's own, HOME/node/archive.db. Where HOME is what bastide-vtpm-setup was given as --tpm-state, what it\n"
        "left there says which node's which instance it is. backend-uri=dir://HOME is dir=HOME.\n"
        "A change is answered when it is on the disk; with fsync=no, of an instance, when it is with the kernel: it\n"
        "is on the disk a second later.\n"
        "  --ctrl type=unixio,path=PATH[,mode=0600][,uid=N][,gid=N]   the control channel\n"
        "  --ctrl type=tcp,port=N[,bindaddr=ADDRESS[,ifname=NAME]]\n"
        "  --ctrl type=unixio|tcp,fd=N | --ctrl type=unixio,clientfd=N\n"
        "  --server …          the data channel, the same; fd=N is its one connection; disconnect: one command each\n"
        "  --keys …            where its keys are asked for, with evidence over them; as --ctrl; else, of an "
        "instance,\n"
        "                      node/instances/NAME/keys\n"
        "  --transfer …        where its owner has its state leave and land; as --ctrl; else …/transfer\n"
        "  --vtpm-proxy        of chardev: the data channel is /dev/tpmN, which the kernel makes (module "
        "tpm_vtpm_proxy); "
        "as root\n"
        "  -p, --port N        --server type=tcp,port=N,disconnect\n"
        "  -f, --fd N          --server fd=N\n"
        "  --launch [firmware=PATH][,kernel=PATH][,initrd=PATH][,disk=PATH], --launch-cmdline TEXT, and at the end\n"
        "  -- COMMAND…         has the monitor measure these (a disk's policy, not the disk), holds them to the "
        "machine\n"
        "                      policy, and starts COMMAND, in which {kernel} and so on stand for what was measured:\n"
        "                      -- qemu-system-x86_64 -kernel {kernel} -initrd {initrd} -append {cmdline} …\n"
        "  --key file=PATH|fd=N|pwdfile=PATH|pwdfd=N[,mode=…]   its passphrase, 1 to 512 bytes: the first is kept in "
        "the "
        "enclave,\n"
        "                      and from then on it starts with that one only; --migration-key beside it is not used\n"
        "  --flags FLAG,...    not-need-init, startup-none, startup-clear, startup-state\n"
        "  -t, --terminate     end with a data connection\n"
        "  -d, --daemon        go to the background once the sockets are there\n"
        "  --pid file=PATH|fd=N\n"
        "  --log file=PATH|fd=N[,level=0..4][,prefix=TEXT][,truncate]   file=-: none; all levels are one\n"
        "  --seccomp action=kill\n"
        "  --print-capabilities, -h, --help\n"
        "swtpm's other options are refused, each with its reason. TPM_PATH and TPM_PORT stand in for dir= and --port.\n"
        "Exit codes: 0 stopped as asked, by SHUTDOWN or by --terminate, 1 internal error, 2 the command line is "
        "wrong,\n"
        "3 another program has the archive, 4 a socket cannot be bound or a file written, 7 the state was rolled "
        "back,\n"
        "8 it was tampered with or is another vTPM's, 9 the TPM does not start, 10 a wall is missing, 11 a limit\n"
        "was met, 12 the monitor refused instance or image, 13 the archive cannot be opened, 14 the disk is full,\n"
        "15 what was to be launched is not what the machine policy allows, or cannot be measured, 16 COMMAND failed.\n",
        to);
}

const char *vtpm_options_capabilities(void)
{
    return "{ \"type\": \"swtpm\", \"features\": [ \"tpm-2.0\", \"tpm-send-command-header\", \"flags-opt-startup\", "
           "\"cmdarg-seccomp\", \"cmdarg-key-fd\", \"cmdarg-pwd-fd\", \"nvram-backend-dir\", "
           "\"tpmstate-dir-backend-opt-fsync\" ], "
           "\"version\": \"0.7.1\" "
           "}";
}
