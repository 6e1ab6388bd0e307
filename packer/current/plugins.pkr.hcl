# For Packer 1.7 and later, which has its builders as plugins: `packer init packer/current` once, where there is a network, or
# plugins in PACKER_PLUGIN_PATH. Not among the templates, because 1.6.6 refuses this block.
packer {
  required_version = ">= 1.7.0"

  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.1.0, < 2.0.0"
    }
    vsphere = {
      source  = "github.com/hashicorp/vsphere"
      version = ">= 1.4.0, < 3.0.0"
    }
  }
}
