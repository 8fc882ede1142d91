use super::glob;

#[test]
fn a_star_stands_for_any_run_of_characters() {
    for (pattern, text, fits) in [
        ("businesses", "businesses", true),
        ("businesses", "businesses2", false),
        ("tenant_*", "tenant_7", true),
        ("tenant_*", "tenant_", true),
        ("tenant_*", "a_tenant_7", false),
        ("*", "", true),
        ("*_log", "x_log", true),
        ("*_log", "_lo", false),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
        ("ab*b", "ab", false),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
}
