#![allow(warnings)]
#[path = "../tests/appliance/vendor.rs"]
mod vendor;
use vendor::*;
fn noise(seed:u64,size:usize)->Vec<u8>{let mut s=seed.wrapping_mul(0x9E3779B97F4A7C15)|1;let mut v=Vec::with_capacity(size+8);while v.len()<size{s^=s<<13;s^=s>>7;s^=s<<17;v.extend(s.to_le_bytes());}v.truncate(size);v}
fn main(){
 let d=std::path::PathBuf::from(std::env::args().nth(1).unwrap());
 for (name,seq,count,size) in [("big",1u64,12usize,25<<20),("small",2,10_000,4_000),("mixed",3,200,1_500_000)] {
  let dir=d.join(name); std::fs::create_dir_all(&dir).unwrap();
  ACME.write_root(&dir);
  let o=Offer::new(&ACME,seq,(0..count).map(|i|noise(seq*100_000+i as u64,size)).collect());
  println!("{}",o.pack(&ACME,&dir).display());
 }
}
