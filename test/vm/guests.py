# SPDX-License-Identifier: GPL-2.0-only
"""
The two ways of running a kernel: the program that is the guest, the devices by which the
guest's init reaches the rig, and how it mounts the folder for results.

`lines` has the guest's ends of the rig's socket pairs: log, out, err, control.
"""

import os

MSIZE = 524288


class UserMode:
    """User-mode Linux: the kernel is a program of this machine."""

    machine = "um"
    devices = {"out": "/dev/ttyS0", "err": "/dev/ttyS1", "control": "/dev/ttyS2"}

    def __init__(self, image, options):
        self.image, self.options = image, options

    def program(self, run, lines):
        return [
            *self._on_one_cpu(),
            self.image,
            f"mem={self.options.mem}M",
            f"ncpus={self.options.cpus}",
            "seccomp=on",  # without it there is but one CPU
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"uml_dir={run}/scratch",
            "con=null",
            f"con0=null,fd:{lines['log'].fileno()}",
            f"ssl0=null,fd:{lines['out'].fileno()}",
            f"ssl1=null,fd:{lines['err'].fileno()}",
            f"ssl2=fd:{lines['control'].fileno()}",
            f"init={run}/init",
            "loglevel=7",
            "printk.devkmsg=on",
            *self.options.append,
        ]

    def _on_one_cpu(self):
        """
        Kernel and programs are processes that take turns. Where one of them would wake up a
        CPU for the other each time, system calls take several times as long.
        """
        if self.options.cpus > 1:
            return []
        allowed = sorted(os.sched_getaffinity(0))
        return ["/usr/bin/taskset", "-c", str(allowed[os.getpid() % len(allowed)])]

    def mount_results(self, run):
        """The type, and options of which mount(8) takes one or the other, as it is old or new."""
        return "hostfs", (f"{run}/results", f"hostfs={run}/results")


class Emulated:
    """A PC which QEMU emulates, or runs with KVM."""

    machine = "x86_64"
    devices = {"out": "/dev/vport0p1", "err": "/dev/vport0p2", "control": "/dev/vport0p3"}

    def __init__(self, image, options, accelerator="tcg,thread=multi"):
        self.image, self.options, self.accelerator = image, options, accelerator

    def program(self, run, lines):
        return [
            "/usr/bin/qemu-system-x86_64",
            *("-accel", self.accelerator, "-cpu", "max"),
            *("-smp", str(self.options.cpus), "-m", str(self.options.mem)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *(argument for name, end in lines.items() for argument in _chardev(name, end)),
            *("-serial", "chardev:log"),
            *("-device", "virtio-serial-pci"),  # before all others of virtio, and so vport0
            *_port("out", 1),
            *_port("err", 2),
            *_port("control", 3),
            *_folder("root", "/", "on"),
            *(_folder("results", f"{run}/results", "off") if self.options.results else ()),
            *("-kernel", self.image),
            *("-append", " ".join(self._parameters(run))),
        ]

    def _parameters(self, run):
        yield "console=ttyS0 loglevel=7 printk.devkmsg=on panic=-1 reboot=t no_timer_check mitigations=off"
        if self.options.debug:
            yield "pci=noacpi"  # see config/debug-x86_64.config
        yield "root=root rootfstype=9p ro"
        yield f"rootflags=trans=virtio,version=9p2000.L,msize={MSIZE},cache=loose"
        yield f"init={run}/init"
        yield from self.options.append

    def mount_results(self, run):
        return "9p", (f"trans=virtio,version=9p2000.L,msize={MSIZE},cache=mmap",)


def _folder(tag, path, readonly):
    options = f"path={path},readonly={readonly},security_model=passthrough,multidevs=remap"
    device = f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"
    return ["-fsdev", f"local,id={tag},{options}", "-device", device]


def _chardev(name, end):
    return ["-chardev", f"socket,id={name},fd={end.fileno()}"]


def _port(name, number):
    return ["-device", f"virtserialport,nr={number},chardev={name},name={name}"]


GUESTS = {"um": UserMode, "x86_64": Emulated}
