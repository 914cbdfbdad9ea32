//! Embeds what the tests ask the kernel through and what they ask it about, so that one file has all
//! of it where there is neither workspace nor cargo: in a virtual machine.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Where the object with the tests' own program lies. xtask builds it.
const OBJECT: &str = "PLAINSIGHT_ENTRY_OBJ";

/// Fuzz targets whose inputs are conversations.
const TARGETS: [&str; 3] = ["heads", "conversation", "datagrams"];

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("entry"), object()?)?;
    fs::write(out.join("corpus.rs"), corpus()?)
}

/// Nothing, where no one built it: then the test that needs it says so.
fn object() -> io::Result<Vec<u8>> {
    println!("cargo:rerun-if-env-changed={OBJECT}");
    let Some(path) = env::var_os(OBJECT).map(PathBuf::from) else { return Ok(Vec::new()) };
    println!("cargo:rerun-if-changed={}", path.display());
    if path.is_file() { fs::read(path) } else { Ok(Vec::new()) }
}

/// A list of pairs, target and input.
fn corpus() -> io::Result<String> {
    let mut list = String::from("&[\n");
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        println!("cargo:rerun-if-changed={}", folder.display());
        let inputs = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut inputs: Vec<PathBuf> = inputs.collect::<io::Result<_>>()?;
        inputs.sort();
        let line = |path: &PathBuf| format!("    ({target:?}, include_bytes!({path:?})),\n");
        list.extend(inputs.iter().map(line));
    }
    Ok(list + "]\n")
}
