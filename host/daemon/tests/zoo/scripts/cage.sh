#!/bin/sh
# One update of a peer on a device that is thrown away: mounts, processes, network and names of its own, a root of tmpfs
# with stand-ins for what a device has. Nothing of the machine can be written from within; what would reach its kernel
# (clock, modules, raw devices, nodes, restarts) is taken from root first.
#
#   cage.sh DIRECTORY    with attack.swu, swupdate.cfg, cert.pem and harm.sh; writes DIRECTORY/told
set -eu
cage=$(readlink -f "$1")
held=-sys_time,-sys_module,-sys_rawio,-mknod,-sys_boot,-bpf,-perfmon,-syslog,-mac_admin,-mac_override

if [ "${2:-}" != inside ]; then
    exec unshare --mount --pid --net --ipc --uts --fork --kill-child --propagation private \
        setpriv --bounding-set "$held" "$0" "$cage" inside
fi
[ $$ = 1 ] || { echo "not in a namespace of processes of its own"; exit 70; }

root=$cage/root
mkdir -p "$root"
mount -t tmpfs -o size=48m,mode=755 cage "$root"
cd "$root"
mkdir -p usr proc dev tmp run root/.ssh data/other slots boot opt media mnt home var/log var/tmp var/spool/cron/crontabs \
    etc/device etc/swupdate etc/cron.d etc/systemd/system etc/profile.d etc/udev/rules.d etc/ssl etc/alternatives
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -P "/$name" .; elif [ -d "/$name" ]; then mkdir "$name"; mount --bind "/$name" "$name"; fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
cp /etc/ld.so.cache etc/
cp -a /etc/alternatives/. etc/alternatives/
cp /etc/ssl/openssl.cnf etc/ssl/ 2>/dev/null || true
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o size=1m,mode=755 dev dev
for name in null zero full random urandom; do : > "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s /proc/self/fd dev/fd
[ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger
# From here on nothing of the machine's own tree is in reach but what is bound above, to be read.
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
echo 'root:$6$s3cret:19000::::::' > etc/shadow
echo 's3cret' > etc/device/key
chmod 600 etc/shadow etc/device/key
echo '127.0.0.1 localhost' > etc/hosts
echo 'nameserver 192.0.2.53' > etc/resolv.conf
echo 'device 1.0' > etc/hwrevision
echo 'image 2.0.0' > etc/sw-versions
cp "$cage/cert.pem" etc/swupdate/trusted.pem
cp "$cage/swupdate.cfg" etc/swupdate/
cp "$cage/attack.swu" media/
echo 'ok' > data/other/state
echo 'bootslot=a good=1 trial=0' > boot/uboot.env
head -c 262144 /dev/urandom > slots/a.img
head -c 262144 /dev/zero > slots/b.img
printf '#!/bin/sh\nexec swupdate "$@"\n' > opt/agent; chmod 755 opt/agent
seq 1 100 > var/log/syslog
: > run/watchdog
ip link set lo up
for address in 169.254.169.254 203.0.113.9 192.168.1.20; do ip address add $address/32 dev lo; done

# What stands around: a neighbour, a metadata service, somebody outside who collects, a controller of the plant.
chroot . sh -c 'while :; do echo alive; sleep 0.1; done > /run/neighbour & echo $! > /run/neighbour.pid'
serve='use IO::Socket::INET; my($a,$p,$f,$t)=@ARGV; my $s=IO::Socket::INET->new(LocalAddr=>$a,LocalPort=>$p,Listen=>5,ReuseAddr=>1) or die;
while(my $c=$s->accept){ if($t){print $c "HTTP/1.0 200 OK\r\n\r\n$t\n"} open(F,">>",$f); if(!$t){ while(<$c>){print F $_; F->flush} } else {print F "asked\n"} close F; close $c }'
perl -e "$serve" 169.254.169.254 80 "$root/run/asked-metadata" s3cret-token &
perl -e "$serve" 203.0.113.9 443 "$root/run/collected" '' &
perl -e "$serve" 192.168.1.20 502 "$root/run/controller" '' &
sleep 0.3
sha256sum slots/a.img boot/uboot.env > "$cage/before"

ulimit -v 1500000; ulimit -c 0
code=0
timeout -k 1 6 env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp DEVICE_TOKEN=s3cret \
    chroot . swupdate -f /etc/swupdate/swupdate.cfg -k /etc/swupdate/trusted.pem --cert-purpose codeSigning \
    -H device:1.0 -i /media/attack.swu > "$cage/out" 2>&1 || code=$?
sleep 0.3
harm=no
BEFORE_A=$(sed -n 1p "$cage/before" | cut -d' ' -f1) BEFORE_BOOT=$(sed -n 2p "$cage/before" | cut -d' ' -f1)
cp "$cage/harm.sh" "$cage/out" "$root/mnt/" 2>/dev/null || true
# Looked at with the machine's own eyes where the device has none left.
never=no; [ "$code" != 124 ] || never=yes
export CODE=$code NEVER=$never BEFORE_A BEFORE_BOOT OUT=/mnt/out
if timeout 5 chroot . sh /mnt/harm.sh > "$cage/seen" 2>&1; then harm=yes; fi
printf '%s\n%s\n' "$harm" "$code" > "$cage/told"
