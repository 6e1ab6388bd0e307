# vSphere: the same on a vCenter. The export is an OVF without properties, which Packer cannot make; `sealift ova` makes the
# OVA that customers get.

source "vsphere-iso" "ubuntu" {
  vcenter_server      = var.vcenter
  username            = var.vcenter_username
  password            = var.vcenter_password
  insecure_connection = var.vcenter_insecure
  datacenter          = var.datacenter
  cluster             = var.cluster
  datastore           = var.datastore

  iso_url      = var.iso_url
  iso_checksum = var.iso_checksum
  boot_wait    = "5s"
  boot_command = local.boot_command

  # A volume of its own, uploaded and taken away again; `remove_cdrom` leaves the exported machine without its drives.
  cd_files     = local.seed
  cd_label     = "cidata"
  remove_cdrom = true

  vm_name              = var.vm_name
  guest_os_type        = "ubuntu64Guest"
  vm_version           = 19
  firmware             = "efi"
  CPUs                 = var.cpus
  RAM                  = var.memory_mib
  disk_controller_type = ["pvscsi"]
  storage {
    disk_size             = var.disk_mib
    disk_thin_provisioned = true
  }
  network_adapters {
    network      = var.network
    network_card = "vmxnet3"
  }

  communicator           = "ssh"
  ssh_username           = var.ssh_username
  ssh_private_key_file   = "${var.work}/build.key"
  ssh_timeout            = var.ssh_timeout
  ssh_handshake_attempts = 1000
  shutdown_command       = local.last_step
  shutdown_timeout       = "15m"

  export {
    output_directory = var.output
    manifest         = "sha256"
  }
}
