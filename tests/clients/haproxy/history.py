"""What publishers and consumers of one queue saw, and whether a queue may behave like that.

A message is (the publisher's connection, its number there); none is ever sent twice. What was not
confirmed may be in the queue or not.
"""

import threading


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.sessions = 0
        self.sent = set()
        self.confirmed = set()
        self.deliveries = []

    def session(self):
        """A number for a connection."""
        with self.lock:
            self.sessions += 1
            return self.sessions

    def is_complete(self):
        """Whether all that was confirmed came."""
        with self.lock:
            return self.confirmed <= {message for _, message, _ in self.deliveries}

    def violations(self, left):
        """What must not be; `left` messages are in the queue now that everybody is done."""
        seen, newest, found = set(), {}, []
        for session, message, redelivered in self.deliveries:
            had = message in seen
            seen.add(message)
            if redelivered:
                continue
            if had:
                found.append(f"{message} came again and was not flagged")
                continue
            way = (session, message[0])
            if message < newest.get(way, message):
                found.append(f"{message} came after {newest[way]}")
            newest[way] = max(message, newest.get(way, message))
        found += [f"{message} was confirmed and is lost" for message in sorted(self.confirmed - seen)]
        found += [f"{message} was never sent" for message in sorted(seen - self.sent)]
        if left:
            found.append(f"{left} messages are left")
        return found
