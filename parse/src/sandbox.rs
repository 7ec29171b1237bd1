//! Confines this process to what reading one document takes: memory, time, what is open already, and nothing else.
//!
//! Three steps, because of what lies between them. [`limit`] comes first. Libraries are loaded behind it, from files. [`close_files`]
//! takes those away; the thread that keeps watch is started behind it, and inherits it. [`seal`] takes away all calls to the kernel
//! but a few dozen, threads among them.
//!
//! What the kernel does not have is told, not passed over in silence: [`Report`].

use std::collections::BTreeMap;
use std::fs;
use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, nice, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};
use serde::{Deserialize, Serialize};

use crate::protocol::Limits;

/// The kernel's newest rules that are known here; an older kernel has fewer of them.
const RULES: ABI = ABI::V6;

/// Descriptors: the three of every process, a few of our own, and some to spare.
const DESCRIPTORS: u64 = 16;

/// How much lower than others' our priority is.
const NICENESS: i32 = 10;

/// One of the things that confine a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Memory, processor time, files written, descriptors.
    Limits,
    /// No program gives it more rights than it has.
    NoNewPrivileges,
    /// It dies with its parent.
    DeathSignal,
    /// No file can be opened (Landlock).
    Files,
    /// No call to the kernel but those that reading takes (seccomp).
    Calls,
}

impl Part {
    /// In plain words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limits => "resource limits",
            Self::NoNewPrivileges => "no_new_privs",
            Self::DeathSignal => "a death signal",
            Self::Files => "Landlock",
            Self::Calls => "seccomp",
        }
    }
}

/// What of the confinement could not be had, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub missing: Vec<(Part, String)>,
}

impl Report {
    /// Whether all of it is in force.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    fn note<T, E: ToString>(&mut self, part: Part, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.missing.push((part, error.to_string()));
                None
            }
        }
    }
}

/// The first step: limits, low priority, first to go when memory is short, gone when the parent is, no core.
pub fn limit(limits: &Limits, report: &mut Report) {
    // These two only help others; where they are refused nothing is less confined.
    let _outcome = nice(NICENESS);
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    let cpu = limits.cpu_seconds.max(1);
    for (resource, soft, hard) in [
        (Resource::As, limits.memory_bytes, limits.memory_bytes),
        // Told by a signal first, and killed a second later.
        (Resource::Cpu, cpu, cpu.saturating_add(1)),
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, DESCRIPTORS, DESCRIPTORS),
    ] {
        report.note(Part::Limits, lower(resource, soft, hard));
    }
    report.note(Part::NoNewPrivileges, set_no_new_privs(true));
    report.note(
        Part::DeathSignal,
        set_parent_process_death_signal(Some(Signal::KILL)),
    );
}

fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    // Never above what we were given.
    let given = rustix::process::getrlimit(resource).maximum;
    let hard = given.map_or(hard, |given| given.min(hard));
    let limit = Rlimit {
        current: Some(soft.min(hard)),
        maximum: Some(hard),
    };
    Ok(setrlimit(resource, limit)?)
}

/// The second step: no file, no port and no abstract socket can be opened by this thread and those it starts.
pub fn close_files(report: &mut Report) {
    let closed = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(RULES)))
        .and_then(|rules| rules.scope(Scope::from_all(RULES)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    match closed {
        // Older kernels lack what is about ports and sockets, which `seal` takes away as well.
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => {}
        Ok(_) => report
            .missing
            .push((Part::Files, "the kernel has no Landlock".to_owned())),
        Err(error) => report.missing.push((Part::Files, error.to_string())),
    }
}

/// The last step, for all threads: nobody looks into this process, it starts no other and no thread, and is left with the calls that
/// reading takes. All others are refused with `EPERM`.
pub fn seal(report: &mut Report) {
    report.note(
        Part::Limits,
        set_dumpable_behavior(DumpableBehavior::NotDumpable),
    );
    report.note(Part::Limits, lower(Resource::Nproc, 0, 0));
    let sealed = filter()
        .map_err(|error| error.to_string())
        .and_then(|filter| apply_filter_all_threads(&filter).map_err(|error| error.to_string()));
    report.note(Part::Calls, sealed);
}

/// The calls that are left: reading and writing what is open, memory that is not code, threads waiting for each other, time, the end.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_close,
        libc::SYS_fcntl,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_ppoll,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_membarrier,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_sched_yield,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getrusage,
        libc::SYS_sysinfo,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    // Not on every machine.
    #[cfg(target_arch = "x86_64")]
    rules.extend([(libc::SYS_poll, Vec::new()), (libc::SYS_time, Vec::new())]);
    // No memory that is code.
    let code = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![when(2, SeccompCmpOp::MaskedEq(code), 0)?]);
    }
    // The signal by which a process ends itself, to itself alone.
    let own = u64::try_from(getpid().as_raw_nonzero().get()).unwrap_or_default();
    rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, own)?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, machine)?.try_into()
}

fn when(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}
