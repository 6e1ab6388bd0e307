# What differs from one build to the next.

# What goes in.
variable "work" {
  type        = string
  description = "Folder that packer/prepare made: payload.tar, seed/, build.key; the record comes back into it."
}

variable "output" {
  type        = string
  description = "Folder for the finished disk. It must not be there yet."
}

variable "ssh_username" {
  type        = string
  default     = "build"
  description = "Who builds. The seed makes this account, and the last step removes it; root keeps its account and loses its keys."
}

variable "offline" {
  type        = bool
  default     = true
  description = "Whether packages may come only from the payload, or be there already."
}

variable "scan_as" {
  type        = string
  default     = "sudo -n"
  description = "Makes packer/scan root, which mounts the finished disk. Empty if Packer runs as root."
}

# What it begins with.
variable "iso_url" {
  type        = string
  default     = ""
  description = "Ubuntu's server ISO: a path or a URL."
}

variable "iso_checksum" {
  type        = string
  default     = ""
  description = "sha256:…, as Ubuntu signs it in SHA256SUMS."
}

variable "disk_url" {
  type        = string
  default     = ""
  description = "For qemu.disk: the disk to begin with."
}

variable "disk_checksum" {
  type        = string
  default     = ""
  description = "For qemu.disk: sha256:…"
}

variable "disk_seed" {
  type        = list(string)
  default     = []
  description = "For qemu.disk: files of a seed volume that lets us in, if the disk needs one."
}

# The machine that builds.
variable "cpus" {
  type    = number
  default = 2
}

variable "memory_mib" {
  type        = number
  default     = 4096
  description = "Ubuntu's installer needs 4 GiB."
}

variable "disk_mib" {
  type        = number
  default     = 20480
  description = "The system disk. Content lies on the data disk, which each appliance brings itself."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "Or `tcg`, which is software and many times slower."
}

variable "machine_type" {
  type    = string
  default = "q35"
}

variable "firmware" {
  type        = string
  default     = ""
  description = "A firmware file for UEFI, such as /usr/share/ovmf/OVMF.fd. Without it, BIOS."
}

variable "ssh_timeout" {
  type    = string
  default = "60m"
}

# The vCenter.
variable "vcenter" {
  type    = string
  default = ""
}

variable "vcenter_username" {
  type    = string
  default = ""
}

variable "vcenter_password" {
  type      = string
  default   = ""
  sensitive = true
}

variable "vcenter_insecure" {
  type        = bool
  default     = false
  description = "Whether the vCenter's certificate is left unchecked."
}

variable "datacenter" {
  type    = string
  default = ""
}

variable "cluster" {
  type    = string
  default = ""
}

variable "datastore" {
  type    = string
  default = ""
}

variable "network" {
  type    = string
  default = "VM Network"
}

variable "vm_name" {
  type    = string
  default = "sealift-appliance"
}
