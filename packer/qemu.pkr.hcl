# QEMU, as both builds have it: from Ubuntu's ISO, and from a disk that is there. Where each begins, image.pkr.hcl says.

locals {
  # 1.6.6 has no `efi_*`; a firmware file serves both. It keeps no boot entries, so the disk has to boot by the fallback path.
  firmware_arguments = var.firmware == "" ? [] : [["-bios", var.firmware]]
}

source "qemu" "appliance" {
  cd_label = "cidata"

  cpus             = var.cpus
  memory           = var.memory_mib
  machine_type     = var.machine_type
  accelerator      = var.accelerator
  qemuargs         = local.firmware_arguments
  headless         = local.headless
  disk_size        = "${var.disk_mib}M"
  disk_interface   = "virtio"
  disk_discard     = "unmap"
  disk_compression = true
  format           = "qcow2"
  net_device       = "virtio-net"

  # The installer runs a server of its own, which refuses us, until the installed system starts.
  communicator           = "ssh"
  ssh_username           = var.ssh_username
  ssh_private_key_file   = "${var.work}/build.key"
  ssh_timeout            = var.ssh_timeout
  ssh_handshake_attempts = 1000
  shutdown_command       = local.last_step
  shutdown_timeout       = "15m"

  output_directory = var.output
  vm_name          = "${var.vm_name}.qcow2"
}
