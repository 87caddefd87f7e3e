# SPDX-License-Identifier: Apache-2.0
"""A machine of QEMU's, emulated in software, that shares the host's root (read-only) and one directory (to write)."""

import contextlib
import pathlib
import shutil
import signal
import subprocess
import time

from kernel import TOP, make_initramfs

OVMF = pathlib.Path("/usr/share/OVMF")
OVMF_PLAIN = ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")
OVMF_SECURE = ("OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd")	# with Microsoft's keys, as hosts have them, and Secure Boot on


class Tpm:
	"""A software TPM with fresh state and certified endorsement keys, whose issuers are in DIRECTORY/softtpm/ca.
	It is QEMU's own, and ends with QEMU.

	The guest can have it stand still: as long as DIRECTORY/tpm-stop is there it is stopped; DIRECTORY/tpm-stopped
	says that it is.
	"""

	def __init__(self, directory, banks="sha256"):
		self.directory = directory
		self.socket = directory / "swtpm.sock"
		state = directory / "softtpm"
		subprocess.run([TOP / "tools" / "affiant-softtpm", "--prepare", "--state-dir", state], check=True)
		if banks != "sha256":
			subprocess.run(["swtpm_setup", "--tpm2", "--tpm-state", f"dir://{state}/tpm", "--reconfigure",
					"--pcr-banks", banks], check=True, stdout=subprocess.DEVNULL)
		self.process = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}/tpm,mode=0600",
						 "--ctrl", f"type=unixio,path={self.socket},mode=0600",
						 "--log", f"file={directory}/swtpm.log", "--terminate"])
		deadline = time.monotonic() + 20
		while not self.socket.exists():
			assert self.process.poll() is None and time.monotonic() < deadline, "swtpm did not start"
			time.sleep(0.02)

	def options(self):
		return ["-chardev", f"socket,id=tpm,path={self.socket}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
			"-device", "tpm-tis,tpmdev=tpm0"]

	def obey(self):
		"""Stops or goes on, as the guest wants it."""
		stop, stopped = (self.directory / "tpm-stop").exists(), self.directory / "tpm-stopped"
		if stop and not stopped.exists():
			self.process.send_signal(signal.SIGSTOP)
			stopped.touch()
		elif not stop and stopped.exists():
			self.process.send_signal(signal.SIGCONT)
			stopped.unlink()

	def end(self):
		if self.process.poll() is None:
			self.process.terminate()
			self.process.send_signal(signal.SIGCONT)
		self.process.wait()


class Machine:
	"""One boot of one kernel. Everything of it is in a directory: what it is told to do (job), what it said
	(console.log, job.log), what it left.

	init: "job" (the job and nothing else) or "systemd". append: words for the kernel command line. firmware: None
	(SeaBIOS) or a pair of OVMF's file names, code and variables. disk: what makes an image to start from, of kernel,
	words and directory, instead of QEMU's own loading of the kernel. tpm: PCR banks of a TPM, or None.
	"""

	def __init__(self, directory, kernel, init="job", append="", firmware=None, disk=None, tpm=None):
		self.directory = pathlib.Path(directory)
		self.kernel = kernel
		self.words = f"console=ttyS0 loglevel=3 panic=-1 vm.init={init} {append}".strip()
		self.firmware = firmware
		self.disk = disk
		self.banks = tpm
		self.console = self.directory / "console.log"
		self.status = self.directory / "status"

	def _scratch(self):
		path = self.directory / "scratch.img"
		with open(path, "wb") as image:
			image.truncate(4 << 30)
		subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "verity", "-E", "lazy_itable_init=1,nodiscard", path],
			       check=True)
		return path

	def _firmware(self):
		if not self.firmware:
			return []
		code, variables = self.firmware
		own = self.directory / "vars.fd"
		shutil.copy(OVMF / variables, own)
		secure = [] if ".ms" not in code else ["-global", "driver=cfi.pflash01,property=secure,value=on",
						       "-global", "ICH9-LPC.disable_s3=1"]
		return secure + ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF / code}",
				 "-drive", f"if=pflash,unit=1,format=raw,file={own}"]

	def command(self, tpm):
		secure = self.firmware and ".ms" in self.firmware[0]
		share = "local,security_model=none,multidevs=remap"
		command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
			   "-machine", f"q35,accel=tcg{',smm=on' if secure else ''}", "-cpu", "max", "-smp", "2", "-m", "3G",
			   "-rtc", "base=utc", "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
			   "-fsdev", f"{share},id=host,path=/,readonly=on", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
			   "-fsdev", f"{share},id=vm,path={self.directory}", "-device", "virtio-9p-pci,fsdev=vm,mount_tag=vm",
			   "-drive", f"if=none,id=scratch,format=raw,cache=unsafe,file={self._scratch()}",
			   "-device", "virtio-blk-pci,drive=scratch"] + self._firmware()
		if self.disk:
			image = self.disk(self.kernel, self.words, self.directory)
			command += ["-drive", f"if=none,id=boot,format=raw,file={image}", "-device", "ahci,id=ahci",
				    "-device", "ide-hd,drive=boot,bus=ahci.0,bootindex=1"]
		else:
			initramfs = self.directory / "initramfs"
			make_initramfs(self.kernel, initramfs)
			command += ["-kernel", str(self.kernel.image), "-initrd", str(initramfs), "-append", self.words]
		return command + (tpm.options() if tpm else [])

	@staticmethod
	def _wait(qemu, tpm, deadline):
		end = time.monotonic() + deadline
		while qemu.poll() is None and time.monotonic() < end:
			with contextlib.suppress(subprocess.TimeoutExpired):
				qemu.wait(0.2)
			if tpm:
				tpm.obey()

	def run(self, job, deadline):
		"""Boots, runs the lines of shell, and returns their exit code; None when the machine ended without one,
		or did not end within deadline seconds."""
		(self.directory / "job").write_text(job)
		with contextlib.ExitStack() as stack:
			tpm = None
			if self.banks:
				tpm = Tpm(self.directory, self.banks)
				stack.callback(tpm.end)
			qemu = subprocess.Popen(self.command(tpm), stdin=subprocess.DEVNULL,
						stderr=open(self.directory / "qemu.log", "wb"))
			stack.callback(qemu.wait)
			stack.callback(lambda: qemu.poll() is None and qemu.kill())
			self._wait(qemu, tpm, deadline)
		(self.directory / "scratch.img").unlink()
		return int(self.status.read_text()) if self.status.exists() else None
