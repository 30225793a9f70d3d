"""The ledger: what clients were told, what servers wrote down, and whether that fits.

It knows nothing of the balancer.  A client records each try of each message; an attempt is
*definite* when the client knows what became of it:

    250 after the body                         accepted
    a complete 4yz or 5yz                      not accepted
    lost before the end of data was sent       not accepted
    lost, or given up, after that              nobody can know
    "451 4.4.2 The server was lost before it confirmed the message"     the balancer says the same

Sinks write a line for each message they accepted, before they say so.
"""
import json
import threading
from collections import Counter

AMBIGUOUS = "451 4.4.2 The server was lost before it confirmed the message"


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.accepted = Counter()    # id -> times a client heard 250
        self.indefinite = Counter()  # id -> tries without a definite reply
        self.said_ambiguous = 0      # of those, by the balancer's reply
        self.unheard = 0             # of those, by silence: connection lost or patience at its end
        self.failures = []           # definite replies other than 250, and connections lost early
        self.offered = set()

    def offer(self, name):
        with self.lock:
            self.offered.add(name)

    def told(self, name, reply):
        """A complete reply to a message's try: (code, text)."""
        with self.lock:
            line = f"{reply[0]} {reply[1]}"
            if reply[0] == 250:
                self.accepted[name] += 1
            elif line == AMBIGUOUS:
                self.indefinite[name] += 1
                self.said_ambiguous += 1
            else:
                self.failures.append(line)

    def lost(self, name, ended, why):
        """No reply: `ended` when an octet of the end of data may have left."""
        with self.lock:
            if ended:
                self.indefinite[name] += 1
                self.unheard += 1
            else:
                self.failures.append(f"lost: {why}")


class Verdict:
    """The comparison; see clean()."""

    def __init__(self, ledger, files):
        self.copies, self.per_file, self.torn = Counter(), {}, 0
        for file in files:
            names = self._read(file)
            self.per_file[file.name] = len(names)
            self.copies.update(names)
        self.lost = sorted(name for name in ledger.accepted if self.copies[name] == 0)
        self.doubled = sorted(name for name, copies in self.copies.items() if copies > 1)
        # As many copies as were accepted, and one more for each try that nobody knows about.
        self.unexplained = sorted(
            name for name, copies in self.copies.items()
            if copies > min(1, ledger.accepted[name]) + ledger.indefinite[name])
        self.strangers = sorted(name for name in self.copies if name not in ledger.offered)
        self.unaccepted = sorted(name for name in ledger.offered if ledger.accepted[name] == 0)

    def _read(self, file):
        """A sink writes a line by one write(): a torn one is a fault of the sink."""
        names = []
        for line in file.read_bytes().splitlines() if file.exists() else []:
            try:
                names.append(json.loads(line)["id"])
            except (ValueError, KeyError):
                self.torn += 1
        return names

    def clean(self):
        """Nothing lost, nothing doubled without excuse, nothing from nowhere, all accepted at last."""
        assert self.torn == 0, f"{self.torn} torn lines"
        assert not self.lost, f"lost: {len(self.lost)}, {self.lost[:5]}"
        assert not self.unexplained, f"doubled: {len(self.unexplained)}, {self.unexplained[:5]}"
        assert not self.strangers, f"never sent: {self.strangers[:5]}"
        assert not self.unaccepted, f"never accepted: {len(self.unaccepted)}, {self.unaccepted[:5]}"
        return self
