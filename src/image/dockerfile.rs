//! From a build specification to the text of a Dockerfile, and back from a step of the build to
//! where it came from. Pure.
//!
//! The text holds constants, package names and the user's raw sections. Everything else that
//! varies (branch names, paths, labels) travels as files of the build context, as build
//! arguments, or as JSON of the API, so no value can become an instruction or a shell word.

use super::runtime::ENTRYPOINT;

/// The directory of the build context for installing packages.
pub const TOOLS: &str = "tools";
/// The directory of the build context for fetching the repository.
pub const SOURCE: &str = "source";
/// The directory of the build context with the files that stay in the image.
pub const RUNTIME: &str = "runtime";
/// The id of the ssh mount that only dkr's own steps use.
pub const SSH_MOUNT: &str = "dkr";
/// The socket of the agent that serves the ssh mount during such a step.
const AGENT: &str = "/run/dkr-agent.sock";
/// All of the environment of dkr's own steps that use the key: a raw section or the base image
/// could have set `GIT_SSH_COMMAND`, `LD_PRELOAD` or the like.
const CLEAN_ENVIRONMENT: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8";
/// Checks that dkr's programs are on the PATH that a container starts with, before a script of dkr runs
/// with a clean environment.
const CHECK_ENVIRONMENT: &str = ". /run/dkr/environment.sh && ";
/// Where the repository is in an image.
pub const WORKSPACE: &str = "/workspace";
/// The packages that dkr itself needs in every image, under the names that `install-packages.sh` knows.
pub const OWN_PACKAGES: [&str; 4] = ["git", "tmux", "openssh-client", "socat"];
/// What copying packs also needs.
const COPYING_PACKAGES: [&str; 1] = ["tar"];

/// A raw section of `.dkr.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name, without brackets.
    pub name: String,
    /// Its text, verbatim.
    pub text: String,
    /// Its instructions: the line in `.dkr.conf` (from 1), and the instruction on one line.
    pub instructions: Vec<(usize, String)>,
    /// The build arguments that it mentions and dkr therefore declares.
    pub arguments: Vec<&'static str>,
}

/// What an image is built from: everything that determines the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// What the image is built on.
    pub from: String,
    /// Whether that is an object image, which has what dkr needs and the repository's objects.
    pub on_objects: bool,
    /// Packages to install in addition to dkr's own.
    pub packages: Vec<String>,
    /// `[pre_packages]`.
    pub pre_packages: Option<Section>,
    /// `[pre_clone]`.
    pub pre_clone: Option<Section>,
    /// `[post_clone]`.
    pub post_clone: Option<Section>,
}

/// What one of dkr's own steps does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Installs what dkr needs in every image.
    Tools,
    /// Installs the packages of `.dkr.conf`.
    Packages,
    /// Copies the repository's packs into an object image.
    Objects,
    /// Clones the repository into the image.
    Clone,
    /// Adds the rest of the repository to an image on its object image.
    Checkout,
    /// Fetches newer commits into the image.
    Update,
    /// Checks what `[post_clone]` left.
    Baseline,
}

impl Phase {
    /// The name of the phase in progress and messages.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Tools => "install git, tmux, SSH client and socat",
            Phase::Packages => "install packages",
            Phase::Objects => "copy the repository's packs",
            Phase::Clone => "clone the repository",
            Phase::Checkout => "check out the repository",
            Phase::Update => "fetch the new commits",
            Phase::Baseline => "check what [post_clone] left",
        }
    }
}

/// Where a step of the build came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOrigin {
    /// dkr itself.
    Dkr(Phase),
    /// A raw section of `.dkr.conf`.
    Section {
        /// The section, without brackets.
        name: String,
        /// The line in `.dkr.conf`, from 1.
        line: usize,
    },
}

/// One instruction that BuildKit runs as a step of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The instruction on one line.
    pub instruction: String,
    /// Where it came from.
    pub origin: StepOrigin,
}

/// A Dockerfile with the origin of its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerfile {
    text: String,
    steps: Vec<Step>,
    /// Directories that are set: BuildKit makes each one, even if it is there, in a layer.
    directories: usize,
}

impl Dockerfile {
    /// The Dockerfile of an object image on `base_image`.
    pub fn objects(base_image: &str) -> Self {
        let mut file = Dockerfile::default();
        file.line(&format!("FROM {base_image}"));
        file.restore("/");
        let packages: Vec<&str> = OWN_PACKAGES.into_iter().chain(COPYING_PACKAGES).collect();
        file.install(Phase::Tools, &packages);
        file.fetch(Phase::Objects, "objects.sh");
        file
    }

    /// The Dockerfile that adds newer packs to the object image `from`.
    pub fn more_objects(from: &str) -> Self {
        let mut file = Dockerfile::default();
        file.line(&format!("FROM {from}"));
        file.fetch(Phase::Objects, "objects.sh");
        file
    }

    /// The Dockerfile of a branch image.
    pub fn create(spec: &BuildSpec) -> Self {
        let mut file = Dockerfile::default();
        file.line(&format!("FROM {}", spec.from));
        file.restore("/");
        file.line("ENV LANG=C.UTF-8");
        if !spec.on_objects {
            file.install(Phase::Tools, &OWN_PACKAGES);
        }
        file.section(spec.pre_packages.as_ref(), "/");
        file.install(Phase::Packages, &spec.packages);
        file.section(spec.pre_clone.as_ref(), "/");
        let phase = if spec.on_objects {
            Phase::Checkout
        } else {
            Phase::Clone
        };
        // Before the work tree is there: some engines read every file for each layer above.
        file.directory(WORKSPACE);
        file.fetch(phase, "clone.sh");
        file.post_clone(spec);
        file.start();
        file
    }

    /// The Dockerfile of an update layer: `spec.from` is a branch image, `spec.packages` are the packages
    /// that it lacks. User, shell and directory are as `create` left them: setting a directory makes a layer.
    pub fn update(spec: &BuildSpec) -> Self {
        let mut file = Dockerfile::default();
        file.line(&format!("FROM {}", spec.from));
        file.install(Phase::Packages, &spec.packages);
        file.fetch(Phase::Update, "update.sh");
        if spec.post_clone.is_some() {
            file.post_clone(spec);
            file.environment();
        }
        file
    }

    /// The maximum number of layers that a build adds.
    pub fn layers(&self) -> usize {
        self.steps.len() + self.directories
    }

    /// The text of the Dockerfile.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The step that a vertex of BuildKit's trace names, such as `[ 3/12] RUN make`.
    pub fn step(&self, vertex: &str) -> Option<&Step> {
        let (number, instruction) = vertex.strip_prefix('[')?.split_once("] ")?;
        if number.starts_with("internal") {
            return None;
        }
        let wanted = squeezed(instruction);
        let mut steps = self.steps.iter();
        steps.find(|step| squeezed(&step.instruction) == wanted)
    }

    /// The instruction of the one step that may use the user's key.
    pub fn fetching_step(&self) -> Option<&str> {
        use Phase::{Checkout, Clone, Objects, Update};
        let fetching = [Objects, Clone, Checkout, Update].map(StepOrigin::Dkr);
        let mut steps = self.steps.iter();
        let step = steps.find(|step| fetching.contains(&step.origin))?;
        Some(&step.instruction)
    }

    fn line(&mut self, instruction: &str) {
        self.text.push_str(instruction);
        self.text.push('\n');
    }

    fn own_step(&mut self, phase: Phase, instruction: String) {
        self.line(&instruction);
        let origin = StepOrigin::Dkr(phase);
        self.steps.push(Step {
            instruction,
            origin,
        });
    }

    /// What dkr relies on and a raw section or a base image may have changed.
    fn restore(&mut self, directory: &str) {
        self.restore_user();
        self.directory(directory);
    }

    fn restore_user(&mut self) {
        self.line("USER root");
        self.line(r#"SHELL ["/bin/sh", "-c"]"#);
    }

    fn directory(&mut self, directory: &str) {
        self.line(&format!("WORKDIR {directory}"));
        self.directories += usize::from(directory != "/");
    }

    fn install<S: AsRef<str>>(&mut self, phase: Phase, packages: &[S]) {
        if packages.is_empty() {
            return;
        }
        let names: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
        let mount = bind_mount(TOOLS);
        let names = names.join(" ");
        let script = format!("RUN {mount} sh /run/dkr/install-packages.sh {names}");
        self.own_step(phase, script);
    }

    fn fetch(&mut self, phase: Phase, script: &str) {
        let ssh = format!("--mount=type=ssh,id={SSH_MOUNT},target={AGENT}");
        let (mounts, check) = match phase {
            Phase::Objects => (bind_mount(SOURCE), ""),
            _ => (branch_mounts(), CHECK_ENVIRONMENT),
        };
        let shell = format!("env -i {CLEAN_ENVIRONMENT} SSH_AUTH_SOCK={AGENT} sh");
        self.own_step(
            phase,
            format!("RUN {mounts} {ssh} {check}{shell} /run/dkr/{script}"),
        );
    }

    fn section(&mut self, section: Option<&Section>, directory: &str) {
        let Some(section) = section else { return };
        for argument in &section.arguments {
            self.line(&format!("ARG {argument}"));
        }
        self.text.push_str(&section.text);
        if !section.text.ends_with('\n') {
            self.text.push('\n');
        }
        for (line, instruction) in &section.instructions {
            let origin = StepOrigin::Section {
                name: section.name.clone(),
                line: *line,
            };
            self.steps.push(Step {
                instruction: instruction.clone(),
                origin,
            });
        }
        // A directory that is set costs a layer.
        let moved = |(_, text): &(usize, String)| {
            let word = text.split_whitespace().next().unwrap_or_default();
            word.eq_ignore_ascii_case("WORKDIR")
        };
        if section.instructions.iter().any(moved) {
            self.restore(directory);
        } else {
            self.restore_user();
        }
    }

    /// `[post_clone]`, and a check of what it left.
    fn post_clone(&mut self, spec: &BuildSpec) {
        let Some(section) = &spec.post_clone else {
            return;
        };
        self.section(Some(section), WORKSPACE);
        let mounts = branch_mounts();
        let shell = format!("env -i {CLEAN_ENVIRONMENT} sh");
        self.own_step(
            Phase::Baseline,
            format!("RUN {mounts} {CHECK_ENVIRONMENT}{shell} /run/dkr/baseline.sh"),
        );
    }

    /// The branch for the entrypoint, whose variables a raw section may have set.
    /// Values come as build arguments: BuildKit expands `"$X"` only once.
    fn environment(&mut self) {
        for name in ["DKR_BRANCH", "DKR_REF"] {
            self.line(&format!("ARG {name}"));
            self.line(&format!("ENV {name}=\"${name}\""));
        }
    }

    /// How a container of the image starts.
    fn start(&mut self) {
        self.environment();
        self.line(&format!(r#"ENTRYPOINT ["{ENTRYPOINT}"]"#));
        self.line("CMD []");
    }
}

fn bind_mount(source: &str) -> String {
    format!("--mount=type=bind,source={source},target=/run/dkr")
}

/// What the scripts of a branch image read.
fn branch_mounts() -> String {
    let source = bind_mount(SOURCE);
    format!("{source} --mount=type=bind,source={RUNTIME},target=/run/dkr-runtime")
}

/// BuildKit folds whitespace in its own way; only the rest is compared.
fn squeezed(instruction: &str) -> String {
    instruction.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests;
