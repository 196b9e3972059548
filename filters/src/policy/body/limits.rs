//! Limits of the resources of a container.

use super::{Check, demand, honours};
use crate::endpoint::ApiVersion;
use crate::json::Fields;
use crate::policy::verdict::Judged;
use crate::scalar::Size;

/// Docker's own scheduling period in microseconds.
const PERIOD: i64 = 100_000;

/// The versions of the API in which these fields limit something.
const NANO_CPUS: ApiVersion = ApiVersion::new(1, 25);
const SERVICE_PIDS: ApiVersion = ApiVersion::new(1, 41);

/// Whether a limit is required.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    /// It is: without it there is no limit.
    Always,
    /// It is not, but a given one must hold: the container has limits already.
    IfGiven,
}

/// `HostConfig`, or the body of an update.
pub(super) fn host(check: &Check<'_>, host: &Fields<'_>, when: When) -> Judged {
    let must = check.must;
    if let Some(Size(most)) = must.memory {
        let memory = host.int("Memory")?;
        let swap = host.int("MemorySwap")?;
        // Swap includes memory, and is twice the memory by default.
        let swap_ok = swap >= 0 && below(swap, most.saturating_mul(2), When::IfGiven);
        demand(below(memory, most, when) && swap_ok, "must.memory", || {
            format!("the memory limit must be at most {}", Size(most))
        })?;
    }
    cpus(check, host, when)?;
    pids(
        check,
        host.int("PidsLimit")?,
        !matches!(host.get("PidsLimit"), crate::json::Json::Null),
        when,
    )
}

fn cpus(check: &Check<'_>, host: &Fields<'_>, when: When) -> Judged {
    let Some(most) = check.must.cpus else {
        return Ok(());
    };
    let nano = host.int("NanoCpus")?;
    let quota = host.int("CpuQuota")?;
    let period = host.int("CpuPeriod")?;
    // An update of one of the two keeps the other, which is not in the body.
    let whole = (quota == 0) == (period == 0);
    demand(whole || when == When::Always, "must.cpus", || {
        "CpuPeriod and CpuQuota limit the CPUs only together: give both, or NanoCpus".into()
    })?;
    let by_quota = match period {
        0 => quota as f64 / PERIOD as f64,
        period => quota as f64 / period as f64,
    };
    let by_nano = nano as f64 / 1e9;
    let none = nano == 0 && quota == 0;
    let fits = |cpus: f64| (0.0..=most).contains(&cpus);
    let met = fits(by_nano) && fits(by_quota) && (!none || when == When::IfGiven);
    demand(met, "must.cpus", || {
        format!("the CPU limit must be at most {most}")
    })?;
    if nano != 0 && when == When::Always {
        honours(check, "must.cpus", "NanoCpus", NANO_CPUS)?;
    }
    Ok(())
}

/// `TaskTemplate.Resources`.
pub(super) fn service(check: &Check<'_>, resources: &Fields<'_>) -> Judged {
    let must = check.must;
    let limits = resources.object("Limits")?;
    if let Some(Size(most)) = must.memory {
        // Swap is on top of memory here; without a value it is as much as memory.
        let swap = below(resources.int("SwapBytes")?, most, When::IfGiven);
        let met = below(limits.int("MemoryBytes")?, most, When::Always) && swap;
        demand(met, "must.memory", || {
            format!("the memory limit must be at most {}", Size(most))
        })?;
    }
    if let Some(most) = must.cpus {
        let cpus = limits.int("NanoCPUs")? as f64 / 1e9;
        demand(cpus > 0.0 && cpus <= most, "must.cpus", || {
            format!("the CPU limit must be at most {most}")
        })?;
    }
    pids(check, limits.int("Pids")?, true, When::Always)?;
    if must.pids.is_some() {
        honours(check, "must.pids", "Limits.Pids", SERVICE_PIDS)?;
    }
    Ok(())
}

/// 0 and -1 remove the limit, also in an update.
fn pids(check: &Check<'_>, limit: i64, given: bool, when: When) -> Judged {
    let Some(most) = check.must.pids else {
        return Ok(());
    };
    let met = below(limit, most, When::Always) || !given && when == When::IfGiven;
    demand(met, "must.pids", || {
        format!("the process limit must be at most {most}")
    })
}

fn below(limit: i64, most: u64, when: When) -> bool {
    match u64::try_from(limit) {
        Ok(0) => when == When::IfGiven,
        Ok(limit) => limit <= most,
        Err(_) => false,
    }
}
