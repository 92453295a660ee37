//! An environment whose every part says which version it is of, and whose compile takes a while between two of them.
//!
//! Parts, each a `notify`: `A` and `B`, classes before and after the slow function; and from class B: Hiera's data, a template of each
//! language, a file read by `file()`, and a function in Ruby. Puppet finds each of them at another moment, and by another way.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The parts of a catalog of such an environment.
pub const PARTS: [&str; 7] = ["A", "B", "hiera", "erb", "epp", "file", "func"];

/// Such an environment in staging.
#[derive(Debug, Clone)]
pub struct Code {
    root: PathBuf,
    /// How long the slow function takes.
    pub slow: Duration,
}

impl Code {
    /// The environment of this name below a directory of environments.
    pub fn new(environments: &Path, name: &str, slow: Duration) -> Self {
        Self { root: environments.join(name), slow }
    }

    /// Makes everything of this version.
    pub fn write(&self, version: &str) {
        self.file(
            "hiera.yaml",
            "---\nversion: 5\nhierarchy:\n  - { name: common, path: common.yaml, data_hash: yaml_data }\n",
        );
        self.file("data/common.yaml", format!("who: {version}\n"));
        self.file("manifests/site.pp", format!("include a\n$slept = a::slow({})\ninclude b\n", self.slow.as_millis()));
        self.file("modules/a/manifests/init.pp", format!("class a {{ notify {{ 'A {version}': }} }}\n"));
        self.file(
            "modules/a/lib/puppet/functions/a/slow.rb",
            "Puppet::Functions.create_function(:'a::slow') do\n  dispatch(:wait) { param 'Integer', :ms }\n  \
             def wait(ms)\n    sleep(ms / 1000.0)\n    ms\n  end\nend\n",
        );
        self.file(
            "modules/b/manifests/init.pp",
            format!(
                "class b {{\n  notify {{ 'B {version}': }}\n  notify {{ \"hiera ${{lookup('who')}}\": }}\n  \
                 notify {{ \"erb ${{template('b/t.erb')}}\": }}\n  notify {{ \"epp ${{epp('b/t.epp')}}\": }}\n  \
                 notify {{ \"file ${{file('b/f.txt')}}\": }}\n  notify {{ \"func ${{b::version()}}\": }}\n}}\n"
            ),
        );
        self.file("modules/b/templates/t.erb", version);
        self.file("modules/b/templates/t.epp", version);
        self.file("modules/b/files/f.txt", version);
        self.file(
            "modules/b/lib/puppet/functions/b/version.rb",
            format!(
                "Puppet::Functions.create_function(:'b::version') do\n  dispatch(:answer) {{}}\n  \
                 def answer\n    '{version}'\n  end\nend\n"
            ),
        );
    }

    /// Instead: a custom fact of this version and a manifest that goes with it. An agent's run that says `fact V1 manifest V2` took
    /// its plugins from one version and its catalog from another.
    pub fn write_fact(&self, version: &str) {
        self.file(
            "modules/f/lib/facter/code_version.rb",
            format!("Facter.add(:code_version) do\n  setcode {{ '{version}' }}\nend\n"),
        );
        self.file(
            "manifests/site.pp",
            format!("notify {{ \"fact ${{facts['code_version']}} manifest {version}\": }}\n"),
        );
    }

    /// Writes any other file of the environment.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
