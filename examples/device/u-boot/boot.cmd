# Boots one of two slots, counting a trial's try down before it boots it. See docs/operations.md.
#
#   mkimage -A arm64 -T script -C none -d boot.cmd boot.scr
#
# Memory, in U-Boot's environment, which `hotshoed` writes, too:
#   hotshoe_good   boots where there is no trial
#   hotshoe_trial  is booted as long as hotshoe_tries is not 0
#   hotshoe_tries  is lowered here, and saved, before the trial is booted
# The kernel is told which slot it comes from; `hotshoed` believes nobody else.

test -n "${hotshoe_good}" || setenv hotshoe_good a
setenv slot "${hotshoe_good}"
if test -n "${hotshoe_trial}" && test "${hotshoe_tries}" = "1"; then
  setenv hotshoe_tries 0
  # What cannot be counted is not tried.
  if saveenv; then
    setenv slot "${hotshoe_trial}"
  fi
fi

# Each slot is a kernel and a root file system: parts `kernel` and `root` of its group.
if test "${slot}" = "b"; then
  setenv kernel_part 4
  setenv root_part 5
else
  setenv slot a
  setenv kernel_part 2
  setenv root_part 3
fi

# `panic=` has a kernel that cannot go on restart the device, and so fall back.
setenv bootargs "root=/dev/mmcblk0p${root_part} ro hotshoe.slot=${slot} panic=5 ${extra_bootargs}"
if load mmc 0:${kernel_part} ${kernel_addr_r} /Image && load mmc 0:${kernel_part} ${fdt_addr_r} /device.dtb; then
  booti ${kernel_addr_r} - ${fdt_addr_r}
fi
# A slot without a kernel: the next boot takes the good one.
reset
