# The appliance's image, by three ways that share every provisioner; README.md says how each is run.
#   qemu.ubuntu         Ubuntu's server ISO, installed by autoinstall, becomes a QCOW2
#   qemu.disk           the same on a disk that is there already
#   vsphere-iso.ubuntu  Ubuntu's server ISO on a vCenter, exported as OVF
# Packer 1.6.6 takes it as well as a current one. What only a current one knows lies in current/.

locals {
  # Steps run as root. Whoever logs in as root has no need of sudo, and maybe none at all.
  become   = var.ssh_username == "root" ? "" : "sudo -n"
  upload   = "/var/tmp/sealift-payload.tar"
  work     = "/var/tmp/sealift-build"
  headless = true

  # Ends the build: removes who built, and stops. 90-clean.sh leaves it in memory, so that nothing of it stays.
  last_step = "${local.become} sh /run/sealift-last-step"

  # The installer's GRUB, where a seed volume needs no `ds=`. Nothing may stand after the dashes: that would be written into the
  # installed system, and could hide VMware's seed from it.
  boot_command = [
    "c<wait3>",
    "linux /casper/vmlinuz autoinstall console=tty0 ---<enter><wait3>",
    "initrd /casper/initrd<enter><wait3>",
    "boot<enter>",
  ]

  # What the record says this image was made of.
  from = var.disk_url == "" ? { url = var.iso_url, checksum = var.iso_checksum } : { url = var.disk_url, checksum = var.disk_checksum }

  seed = ["${var.work}/seed/user-data", "${var.work}/seed/meta-data"]
}

build {
  sources = ["source.vsphere-iso.ubuntu"]

  source "source.qemu.appliance" {
    name         = "ubuntu"
    iso_url      = var.iso_url
    iso_checksum = var.iso_checksum
    cd_files     = local.seed
    boot_wait    = "5s"
    boot_command = local.boot_command
  }

  source "source.qemu.appliance" {
    name         = "disk"
    disk_image   = true
    iso_url      = var.disk_url
    iso_checksum = var.disk_checksum
    cd_files     = var.disk_seed
    boot_wait    = "1s"
  }

  provisioner "file" {
    source      = "${var.work}/payload.tar"
    destination = local.upload
  }

  provisioner "shell" {
    # Unpacked once; each step below reads from there.
    inline = [
      "${local.become} mkdir -p ${local.work}",
      "${local.become} tar -C ${local.work} --no-same-owner -xf ${local.upload}",
      "rm -f ${local.upload}",
    ]
  }

  provisioner "shell" {
    execute_command = "${local.become} env {{ .Vars }} sh '{{ .Path }}'"
    environment_vars = [
      "SEALIFT_WORK=${local.work}",
      "SEALIFT_OFFLINE=${var.offline}",
      "SEALIFT_BUILDER=${var.ssh_username}",
      "SEALIFT_FROM=${local.from.url}",
      "SEALIFT_FROM_CHECKSUM=${local.from.checksum}",
      "DEBIAN_FRONTEND=noninteractive",
      "LC_ALL=C.UTF-8",
    ]
    scripts = [
      "${path.root}/provision/10-packages.sh",
      "${path.root}/provision/20-sealift.sh",
      "${path.root}/provision/30-users.sh",
      "${path.root}/provision/40-data-disk.sh",
      "${path.root}/provision/50-kernel.sh",
      "${path.root}/provision/60-network.sh",
      "${path.root}/provision/70-quiet.sh",
      "${path.root}/provision/80-record.sh",
    ]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/usr/share/sealift/image/build.json"
    destination = "${var.work}/build.json"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/usr/share/sealift/image/packages.cdx.json"
    destination = "${var.work}/packages.cdx.json"
  }

  # The last one: whatever ran after it might leave something behind.
  provisioner "shell" {
    execute_command  = "${local.become} env {{ .Vars }} sh '{{ .Path }}'"
    environment_vars = ["SEALIFT_WORK=${local.work}", "SEALIFT_BUILDER=${var.ssh_username}", "LC_ALL=C.UTF-8"]
    script           = "${path.root}/provision/90-clean.sh"
  }

  post-processor "manifest" {
    output = "${var.work}/manifest.json"
  }

  # Whatever the steps forgot. What a vCenter exports lies in several files, and is looked at by hand.
  post-processor "shell-local" {
    only   = ["qemu.ubuntu", "qemu.disk"]
    inline = ["${var.scan_as} '${path.root}/scan' '${var.output}/${var.vm_name}.qcow2'"]
  }
}
