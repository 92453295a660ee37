//! The modules that each environment holds: Debian's, or made-up ones of like shape where these are not installed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::random::mixed;

/// Where Debian's `puppet-module-*` packages put theirs.
const DEBIAN: &str = "/usr/share/puppet/modules.available";

/// How deep a module may be.
const DEEPEST: usize = 40;

/// How many modules are made up; with [`made_up`]'s sizes some 6,000 files.
const MADE_UP: u64 = 95;

/// All modules, by name.
pub(crate) struct Modules {
    pub(crate) modules: Vec<Module>,
    /// Where they come from, in words.
    pub(crate) origin: String,
}

/// One module: what is below it, parents first. Paths begin with its name.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) files: Vec<Source>,
}

/// A file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) content: Vec<u8>,
    pub(crate) hash: blake3::Hash,
}

impl Source {
    fn new(path: PathBuf, content: Vec<u8>) -> Self {
        Self { hash: blake3::hash(&content), path, content }
    }

    pub(crate) fn is_manifest(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "pp")
    }
}

impl Modules {
    /// Debian's, else made-up ones.
    pub(crate) fn load(seed: u64) -> Result<Self, String> {
        let root = Path::new(DEBIAN);
        let mut modules = Vec::new();
        if root.is_dir() {
            for name in sorted(root)? {
                let mut module = Module::default();
                read(root, Path::new(&name), &mut module, 0)?;
                modules.push(module);
            }
        }
        if modules.iter().any(|module| manifest(module).is_some()) {
            return Ok(Self { origin: format!("Debian's Puppet modules ({} of them)", modules.len()), modules });
        }
        let modules = (0..MADE_UP).map(|at| made_up(seed, at)).collect();
        Ok(Self { modules, origin: format!("{MADE_UP} made-up modules: Debian's are not in {DEBIAN}") })
    }

    /// The largest module that has a manifest.
    pub(crate) fn largest(&self) -> &Module {
        let with = self.modules.iter().filter(|module| manifest(module).is_some());
        with.max_by_key(|module| module.files.len()).expect("loading looked for one")
    }

    /// Its main manifest, where it has one, else any.
    pub(crate) fn largest_manifest(&self) -> &Source {
        manifest(self.largest()).expect("it has one")
    }
}

fn manifest(module: &Module) -> Option<&Source> {
    let main = module.files.iter().find(|file| file.path.ends_with("manifests/init.pp"));
    main.or_else(|| module.files.iter().find(|file| file.is_manifest()))
}

fn sorted(folder: &Path) -> Result<Vec<std::ffi::OsString>, String> {
    let names = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<_> = names.map_err(|error: std::io::Error| format!("{}: {error}", folder.display()))?;
    names.sort();
    Ok(names)
}

/// Reads a folder and all below it. Links are followed, as by `cp -L`.
fn read(root: &Path, path: &Path, module: &mut Module, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("{}: too deep", path.display()));
    }
    module.folders.push(path.to_owned());
    for name in sorted(&root.join(path))? {
        let (at, below) = (root.join(path).join(&name), path.join(&name));
        // A link that leads nowhere is left out.
        let Ok(what) = fs::metadata(&at) else { continue };
        if what.is_dir() {
            read(root, &below, module, depth + 1)?;
        } else if what.is_file() {
            let content = fs::read(&at).map_err(|error| format!("{}: {error}", at.display()))?;
            module.files.push(Source::new(below, content));
        }
    }
    Ok(())
}

/// A module of 10 to 470 files in folders as modules have them, most of them small.
fn made_up(seed: u64, at: u64) -> Module {
    const FOLDERS: [&str; 8] =
        ["manifests", "manifests/config", "files", "templates", "lib", "lib/puppet", "lib/puppet/type", "spec"];
    let share = (mixed(seed, &[at, 1]) % 1000) as f64 / 1000.0;
    let (name, count) = (PathBuf::from(format!("made-up{at:02}")), 10 + (460.0 * share.powi(7)) as u64 + 4 * (at % 20));
    let mut module = Module { folders: vec![name.clone()], files: Vec::new() };
    module.folders.extend(FOLDERS.iter().map(|folder| name.join(folder)));
    module.files.push(Source::new(name.join("manifests/init.pp"), text(seed, at, 0)));
    for file in 1..count {
        let folder = FOLDERS[(mixed(seed, &[at, file, 2]) % FOLDERS.len() as u64) as usize];
        let ending = match folder {
            "manifests" | "manifests/config" => "pp",
            "files" => "conf",
            "templates" => "epp",
            _ => "rb",
        };
        let path = name.join(folder).join(format!("part{file}.{ending}"));
        module.files.push(Source::new(path, text(seed, at, file)));
    }
    module
}

/// Some lines of resources, 2.5 KB in the middle, which compress like code.
fn text(seed: u64, module: u64, file: u64) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "ensure", "content", "require", "package", "service", "template", "owner", "group", "notify", "source",
        "enable", "mode",
    ];
    let lines = 10 + mixed(seed, &[module, file, 3]) % 110;
    let mut text = format!("# Part {file} of module {module}.\nclass made_up{module}::part{file} {{\n");
    for line in 0..lines {
        let number = mixed(seed, &[module, file, 4, line]);
        let (word, other) = (WORDS[(number % 12) as usize], WORDS[(number / 12 % 12) as usize]);
        text.push_str(&format!("  {word} => \"${{{other}}}-{:04x}\",\n", number / 144 % 65536));
    }
    (text + "}\n").into_bytes()
}
