"""The vacancy example's story: readings of an office, and a phone whose presence and planner come from a calendar."""
import datetime, json, pathlib

HERE = pathlib.Path(__file__).parent


class Number(str):
    """A number as its source spells it: 23.7 must not become 23.699999999999999."""


def parse(text):
    return json.loads(text, parse_float=Number, parse_int=Number)


def readings():
    """(time, properties as JSON text, occupied) of every row of datatest.txt."""
    for row in (HERE / 'datatest.txt').read_text().splitlines()[1:]:
        _, when, temperature, humidity, light, co2, ratio, occupied = row.replace('"', '').split(',')
        yield (when.replace(' ', 'T') + '.000Z',
               f'{{"temperature":{temperature},"humidity":{humidity},"light":{light},"co2":{co2},"humidityRatio":{ratio}}}',
               occupied == '1')


def spans(category):
    """(from, to) of every calendar entry of this category, as texts that compare like times."""
    start = kind = None
    for line in (HERE / 'calendar.ics').read_text().splitlines():
        name, _, value = line.partition(':')
        if name == 'CATEGORIES':
            kind = value
        elif name in ('DTSTART', 'DTEND'):
            when = datetime.datetime.strptime(value, '%Y%m%dT%H%M%SZ').strftime('%Y-%m-%dT%H:%M:%S.000Z')
            if name == 'DTSTART':
                start = when
            elif kind == category:
                yield start, when


def changes(category, first):
    """(time, inside) whenever it changes, and how it is at the first time."""
    known = list(spans(category))
    yield first, any(start <= first < end for start, end in known)
    for start, end in known:
        if start > first:
            yield start, True
        if end > first:
            yield end, False


def events(speed):
    """The plan: (milliseconds after the start, client, id, body) in the order of time; speed in minutes a second, 0 for
    as fast as it goes."""
    rows = list(readings())
    first = rows[0][0]
    story = [(when, 1, 'sensor', 'reading', properties) for when, properties, _ in rows]
    story += [(when, 0, 'phone', 'presence', json.dumps({'here': inside})) for when, inside in changes('PRESENCE', first)]
    story += [(when, 0, 'phone', 'planner', json.dumps({'away': not inside})) for when, inside in changes('PLANNER', first)]
    begin = datetime.datetime.fromisoformat(first[:-1])
    for count, (when, _, client, kind, properties) in enumerate(sorted(story)):
        minutes = (datetime.datetime.fromisoformat(when[:-1]) - begin).total_seconds() / 60
        name = f'{client}-{count:05}'
        yield (int(minutes / speed * 1000) if speed else 0, client, name,
               f'{{"id":"{name}","type":"{kind}","time":"{when}","properties":{properties}}}')


def agreement(actions):
    """Share of readings at which the heating was on just when the room was occupied; actions are (time, on)."""
    rows, right, on, at = list(readings()), 0, None, 0
    actions = sorted(actions)
    for when, _, occupied in rows:
        while at < len(actions) and actions[at][0] <= when:
            on, at = actions[at][1], at + 1
        right += on == occupied
    return right / len(rows)
