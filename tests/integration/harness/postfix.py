"""A real Postfix on loopback with its own config, queue and data; the machine's own is not touched.

Mail is delivered into one maildir by virtual(8), which adds Return-Path, X-Original-To, Delivered-To
above smtpd's Received and makes LF of CRLF; bodies() takes that back.
"""
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness.world import SLOW, alive, free_port, wait_for

DOMAIN = "dest.example"

MASTER = """\
127.0.0.1:{port} inet n - n - {processes} smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n -  0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -  - trivial-rewrite
bounce    unix  - - n -  0 bounce
defer     unix  - - n -  0 bounce
trace     unix  - - n -  0 bounce
verify    unix  - - n -  1 verify
proxymap  unix  - - n -  - proxymap
smtp      unix  - - n -  - smtp
error     unix  - - n -  - error
retry     unix  - - n -  - error
discard   unix  - - n -  - discard
local     unix  - n n -  - local
virtual   unix  - n n -  - virtual
anvil     unix  - - n -  1 anvil
scache    unix  - - n -  1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

MAIN = """\
compatibility_level = 3.6
config_directory = {home}/etc
queue_directory = {home}/queue
data_directory = {home}/data
meta_directory = /etc/postfix
maillog_file_prefixes = {home}
maillog_file = {home}/maillog
multi_instance_name = postfix-{name}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {name}.{domain}
mydomain = {domain}
myorigin = {domain}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_alias_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = {mailboxes}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
mynetworks = {mynetworks}
mynetworks_style = host
local_header_rewrite_clients =
smtputf8_enable = yes
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_tls_security_level = none
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
notify_classes =
biff = no
"""


class Postfix:
    def __init__(self, name, mynetworks="127.0.0.0/8", processes=100, mailboxes="static:inbox/", more=""):
        self.name, self.port = name, free_port()
        self.home = Path(tempfile.mkdtemp(prefix=f"mailweir-postfix-{name}-"))
        nobody = pwd.getpwnam("nobody")
        postfix = pwd.getpwnam("postfix")
        os.chmod(self.home, 0o755)
        for folder in ("etc", "queue", "data", "mail"):
            (self.home / folder).mkdir()
        os.chown(self.home / "data", postfix.pw_uid, postfix.pw_gid)
        os.chown(self.home / "mail", nobody.pw_uid, nobody.pw_gid)
        self.write("main.cf", MAIN.format(home=self.home, name=name, domain=DOMAIN, uid=nobody.pw_uid,
                                          gid=nobody.pw_gid, mynetworks=mynetworks, mailboxes=mailboxes) + more)
        self.write("master.cf", MASTER.format(port=self.port, processes=processes))

    def write(self, name, text):
        (self.home / "etc" / name).write_text(text)
        return self.home / "etc" / name

    def _postfix(self, command):
        return subprocess.run(["postfix", "-c", self.home / "etc", command], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)

    def start(self):
        run = self._postfix("start")
        assert run.returncode == 0, run.stdout + run.stderr + self.log()
        from harness.client import Client, Gone

        def answers():
            try:
                with Client(self.port, 10) as client:
                    return client.say("QUIT")[0] == 221
            except (OSError, Gone):
                return False
        wait_for(answers, 30, f"{self.name} answering")
        return self

    def pid(self):
        try:
            return int((self.home / "queue" / "pid" / "master.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def stop(self):
        pid = self.pid()
        self._postfix("stop")
        end = time.monotonic() + 20 * SLOW
        while pid and alive(pid) and time.monotonic() < end:
            time.sleep(0.05)
        if pid and alive(pid):
            self._postfix("abort")
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        try:
            return (self.home / "maillog").read_text(errors="replace")
        except OSError:
            return ""

    def files(self):
        """Delivered mail."""
        inbox = self.home / "mail" / "inbox" / "new"
        return sorted(inbox.iterdir()) if inbox.exists() else []

    def queued(self):
        """Mail that was accepted and is not delivered yet; a file that is not whole is not executable."""
        count = 0
        for name in ("incoming", "active", "deferred", "hold", "maildrop"):
            for folder, _, files in os.walk(self.home / "queue" / name):
                for file in files:
                    with contextlib.suppress(FileNotFoundError):
                        count += os.stat(os.path.join(folder, file)).st_mode & 0o100 != 0
        return count

    def quiet(self):
        """Wait until all that was accepted has been delivered."""
        wait_for(lambda: self.queued() == 0, 60, f"{self.name} delivering")
        return self

    def empty(self):
        for file in self.files():
            file.unlink()

    def mails(self):
        """(recipient, octets with CRLF again), without what Postfix put on top."""
        return [taken_apart(file.read_bytes()) for file in self.files()]


def taken_apart(octets):
    """A delivered file: its recipient, and the mail as it was sent."""
    lines, recipient, at = octets.split(b"\n"), None, 0
    while at < len(lines):
        name = lines[at].split(b":", 1)[0]
        if name not in (b"Return-Path", b"X-Original-To", b"Delivered-To", b"Received"):
            break
        if name == b"Delivered-To":
            recipient = lines[at].split(b":", 1)[1].strip().decode()
        at += 1
        while at < len(lines) and lines[at][:1] in (b" ", b"\t"):
            at += 1
        if name == b"Received":
            break
    return recipient, b"\n".join(lines[at:]).replace(b"\n", b"\r\n")
