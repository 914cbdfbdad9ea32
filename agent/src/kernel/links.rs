//! Whether what was attached still is. Whoever has the capability can detach a link of another
//! process, and so does the kernel when the cgroup is removed; the descriptor stays as it was.

use std::fs;

/// How many of this process's links lead to no cgroup any more.
#[must_use]
pub fn detached_links() -> usize {
    let files = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.filter(|text| is_detached(text)).count()
}

/// Cgroups are numbered from 1; a link that was detached shows 0 (`bpf_cgroup_link_show_fdinfo`).
fn is_detached(fdinfo: &str) -> bool {
    let value = |key: &str| fdinfo.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    value("link_type:") == Some("cgroup") && value("cgroup_id:") == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_without_a_cgroup_are_detached() {
        let check = |text: &str, expect: bool| assert_eq!(is_detached(text), expect, "{text}");
        let link = "pos:\t0\nlink_type:\tcgroup\nlink_id:\t3\nprog_id:\t7\n";
        check(&format!("{link}cgroup_id:\t4711\nattach_type:\t3\n"), false);
        check(&format!("{link}cgroup_id:\t0\nattach_type:\t3\n"), true);
        check("pos:\t0\nmap_type:\t1\nmap_id:\t12\n", false);
        check("link_type:\txdp\nifindex:\t0\n", false);
        check("", false);
    }
}
