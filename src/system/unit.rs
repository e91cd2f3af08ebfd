//! The systemd unit of a process. In: its folder in /proc. Out: the unit's name, from cgroups(7).

use std::fs;
use std::path::Path;

/// The service unit that the process with the folder `process` in /proc belongs to; `None` without systemd.
pub fn of(process: &Path) -> Option<String> {
    in_cgroups(&fs::read_to_string(process.join("cgroup")).ok()?)
}

/// The last part of a path that is a service; a line is `ID:CONTROLLERS:PATH`.
fn in_cgroups(text: &str) -> Option<String> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.flat_map(|path| path.split('/')).filter(|part| part.ends_with(".service"));
    // The name goes into a command line for root.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@-_.:".contains(c);
    units.rfind(|unit| unit.chars().all(is_plain)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_the_last_service_of_the_path() {
        let unit = |text| in_cgroups(text);
        assert_eq!(
            unit("0::/system.slice/system-postfix.slice/postfix@-.service\n").as_deref(),
            Some("postfix@-.service")
        );
        assert_eq!(unit("12:pids:/a.service\n0::/b.service/sub\n").as_deref(), Some("b.service"));
        assert_eq!(unit("0::/\n"), None);
        assert_eq!(unit("0::/x;reboot.service\n"), None);
    }
}
