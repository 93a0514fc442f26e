"""QEMU's monitor: qmp.py SOCKET COMMAND, or hmp TEXT, or migrate URI, which waits for its end. Prints what is said; exit code 1 for an error."""
import json
import socket
import sys
import time

monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(300)
monitor.connect(sys.argv[1])
lines = monitor.makefile('rw')
lines.readline()


def ask(command, **arguments):
    lines.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
    lines.flush()
    while True: # past events
        got = json.loads(lines.readline())
        if 'return' in got or 'error' in got:
            return got


def end(text, failed):
    print(text)
    sys.exit(1 if failed else 0)


ask('qmp_capabilities')
command = sys.argv[2]
if command == 'hmp': # where a command tells of errors in its text alone
    text = ask('human-monitor-command', **{'command-line': sys.argv[3]})['return']
    end(text, 'rror' in text)
if command == 'migrate':
    got = ask('migrate', uri=sys.argv[3])
    while 'error' not in got:
        state = ask('query-migrate')['return']
        if state.get('status') in ('completed', 'failed', 'cancelled'):
            end(state['status'] + ' ' + state.get('error-desc', ''), state['status'] != 'completed')
        time.sleep(.1)
else:
    got = ask(command)
end(json.dumps(got['return']) if 'return' in got else got['error']['desc'], 'error' in got)
