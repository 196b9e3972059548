//! Tests redaction by place, by value, in URLs and in options, and its bounds.

use super::*;
use proptest::prelude::*;

const BOTH: [Redact; 2] = [Redact::Env, Redact::Secrets];

fn redacted(body: &str) -> String {
    redact(body.as_bytes(), &BOTH)
        .unwrap()
        .unwrap_or(body.to_owned())
}

#[test]
fn only_the_values_change_and_every_other_byte_stays() {
    for (body, expected) in [
        (
            r#"{"Config": {"Env":["A=1","B=","C"], "x":1.50},"N":12345678901234567890}"#,
            r#"{"Config": {"Env":["A=[redacted]","B=[redacted]","C"], "x":1.50},"N":12345678901234567890}"#,
        ),
        (
            r#"[{"Spec":{"TaskTemplate":{"ContainerSpec":{"Env":["K=v=w"]}}},"PreviousSpec":{"Env":["K=\"v"]}}]"#,
            r#"[{"Spec":{"TaskTemplate":{"ContainerSpec":{"Env":["K=[redacted]"]}}},"PreviousSpec":{"Env":["K=[redacted]"]}}]"#,
        ),
        (
            r#"{"JoinTokens":{"Worker":"SWMTKN-1","Manager":"SWMTKN-2"},"ID":"x"}"#,
            r#"{"JoinTokens":{"Worker":"[redacted]","Manager":"[redacted]"},"ID":"x"}"#,
        ),
        (r#"{"UnlockKey":"SWMKEY"}"#, r#"{"UnlockKey":"[redacted]"}"#),
        (
            r#"{"Spec":{"Name":"c","Data":"aGk="},"GraphDriver":{"Data":{"UpperDir":"/x"}}}"#,
            r#"{"Spec":{"Name":"c","Data":"[redacted]"},"GraphDriver":{"Data":{"UpperDir":"/x"}}}"#,
        ),
        (
            r#"{"Labels":{"db.password":"p","app":"web"},"LogConfig":{"Type":"x","Config":{"splunk-token":"t","tag":"a"}}}"#,
            r#"{"Labels":{"db.password":"[redacted]","app":"web"},"LogConfig":{"Type":"x","Config":{"splunk-token":"[redacted]","tag":"a"}}}"#,
        ),
        (
            r#"{"Type":"container","Actor":{"ID":"x","Attributes":{"image":"a","db.password":"p"}}}"#,
            r#"{"Type":"container","Actor":{"ID":"x","Attributes":{"image":"a","db.password":"[redacted]"}}}"#,
        ),
        (
            r#"{"Labels":{"Env":"A=1","Data":"d"},"Secrets":[{"SecretName":"s"}]}"#,
            r#"{"Labels":{"Env":"A=1","Data":"d"},"Secrets":[{"SecretName":"s"}]}"#,
        ),
        (
            r#"{"\u0045nv":["A\u003d1"]}"#,
            r#"{"\u0045nv":["A=[redacted]"]}"#,
        ),
    ] {
        assert_eq!(redacted(body), expected);
    }
}

#[test]
fn an_answer_that_cannot_be_searched_is_refused() {
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    assert_eq!(redact(deep.as_bytes(), &BOTH), Err(RedactError::TooDeep));
    for body in [&b"{"[..], b"", b"\xff", b"{} x"] {
        assert_eq!(redact(body, &BOTH), Err(RedactError::NotJson));
    }
}

proptest! {
    #[test]
    fn no_value_of_the_environment_is_left(
        names in proptest::collection::vec("[A-Z]{1,4}", 1..5),
        value in "s3cr3t[\\PC\"\\\\]{0,8}",
    ) {
        let env: Vec<_> = names.iter().map(|name| format!("{name}={value}")).collect();
        let body = serde_json::json!({"Config": {"Env": env, "Labels": {"x": "y"}}}).to_string();
        let out = redacted(&body);
        prop_assert!(!out.contains("s3cr3t"));
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(&read["Config"]["Labels"]["x"], "y");
        prop_assert_eq!(redacted(&out), out);
    }
}

/// A value that one place shows, in every other place of the same answer.
#[test]
fn a_value_is_redacted_wherever_the_answer_carries_it() {
    for (body, kept) in [
        (
            r#"{"Config":{"Env":["P=hunter2x"],"Cmd":["psql","-W","hunter2x"]}}"#,
            "psql",
        ),
        (
            r#"{"Args":["--pw=hunter2x"],"Config":{"Env":["P=hunter2x"]}}"#,
            "--pw=",
        ),
        (
            r#"{"Path":"/run/hunter2x","Config":{"Env":["P=hunter2x"],"Entrypoint":["sh","-c","echo hunter2x"]}}"#,
            "echo ",
        ),
        (
            r#"{"Config":{"Env":["P=hunter2x"],"Labels":{"app":"uses hunter2x"}}}"#,
            "uses ",
        ),
        (
            r##"{"ContainerConfig":{"Cmd":["/bin/sh","-c","#(nop) ENV P=hunter2x"]},"Config":{"Env":["P=hunter2x"]}}"##,
            "/bin/sh",
        ),
        (
            r##"{"ContainerConfig":{"Cmd":["/bin/sh","-c","#(nop) CMD [\"hunter2x\"]"]},"Config":{"Env":["P=hunter2x"]}}"##,
            "CMD",
        ),
        (
            r##"[{"CreatedBy":"/bin/sh -c #(nop) ENV P=hunter2x","Comment":"kept"}]"##,
            "kept",
        ),
        (
            r#"[{"CreatedBy":"RUN |1 P=hunter2x /bin/sh -c make # buildkit","Comment":"kept"}]"#,
            "kept",
        ),
        (
            r#"[{"CreatedBy":"|2 A=b P=hunter2x /bin/sh -c make","Comment":"kept"}]"#,
            "kept",
        ),
        (
            r#"[{"CreatedBy":"ARG P=hunter2x","Comment":"kept"}]"#,
            "kept",
        ),
        (
            r#"{"Options":{"type":"cifs","o":"addr=nas,username=u,password=hunter2x,ro"}}"#,
            "addr=nas,username=u,password=[redacted],ro",
        ),
        (
            r#"{"Options":{"password":"hunter2x","o":"u%hunter2x"}}"#,
            "u%",
        ),
        (
            r#"{"Spec":{"TaskTemplate":{"ContainerSpec":{"Args":["hunter2x"],"Command":["run"]}}},"PreviousSpec":{"TaskTemplate":{"ContainerSpec":{"Env":["P=hunter2x"]}}}}"#,
            "run",
        ),
        (
            r#"[{"Spec":{"ContainerSpec":{"Env":["P=hunter2x"]}}},{"Spec":{"ContainerSpec":{"Args":["-p","hunter2x","kept"]}}}]"#,
            "kept",
        ),
        (
            r#"{"Type":"container","Actor":{"Attributes":{"db.password":"hunter2x","url":"db:hunter2x","image":"web"}}}"#,
            "web",
        ),
        (
            r#"{"status":"exec_create: env TOKEN=hunter2x sh","Action":"exec_create: env TOKEN=hunter2x sh"}"#,
            "exec_create: env TOKEN=[redacted] sh",
        ),
        (
            r#"{"ProcessConfig":{"entrypoint":"mysql","arguments":["--password=hunter2x","-h","db"]}}"#,
            "mysql",
        ),
        (
            r#"{"ProcessConfig":{"entrypoint":"sh","arguments":["-c","API_KEY='hunter2x' run"]}}"#,
            "API_KEY='[redacted]' run",
        ),
        (
            r#"{"State":{"Health":{"Log":[{"Output":"no hunter2x"}]}},"Config":{"Env":["P=hunter2x"],"Healthcheck":{"Test":["CMD","x","hunter2x"]}}}"#,
            "CMD",
        ),
        (
            r#"{"Config":{"Env":["P=hunter2x"],"Cmd":["\u0068unter2x","kept"]}}"#,
            "kept",
        ),
        (
            r#"{"Config":{"Cmd":["hunter2x","kept"],"Env":["P=hunter2x"]}}"#,
            "kept",
        ),
        (
            r#"{"Config":{"Cmd":["P=hunt ./run"],"Env":["PA=1","MY_P=hunt"],"x":"MY_P=hunt"}}"#,
            "./run",
        ),
    ] {
        let out = redacted(body);
        assert!(!out.contains("hunter2x") && !out.contains("u0068"), "{out}");
        assert!(!out.contains("MY_P=hunt"), "{out}");
        assert!(out.contains(kept), "{out}");
        assert!(serde_json::from_str::<IgnoredAny>(&out).is_ok(), "{out}");
        assert_eq!(redacted(&out), out);
    }
}

#[test]
fn passwords_in_urls_are_redacted_everywhere() {
    for (text, expected) in [
        ("postgres://u:pw@db/x", "postgres://u:[redacted]@db/x"),
        ("redis://:p@cache:6379", "redis://:[redacted]@cache:6379"),
        ("a https://u:p:q@h/ b", "a https://u:[redacted]@h/ b"),
        ("https://u:p@q@h/", "https://u:[redacted]@h/"),
        (
            "http://a:p@h1,http://b:q@h2",
            "http://a:[redacted]@h1,http://b:[redacted]@h2",
        ),
        ("amqp://u:p/w@h", "amqp://u:[redacted]@h"),
        (
            "'http://u:p@h' http://h:80/@x",
            "'http://u:[redacted]@h' http://h:80/@x",
        ),
        ("https://u@h:443/a:b", "https://u@h:443/a:b"),
        ("http://h:8080/a?b=c@d:e", "http://h:8080/a?b=c@d:e"),
        ("http://u:@h", "http://u:@h"),
        ("sha256:abc@x", "sha256:abc@x"),
    ] {
        let quoted = serde_json::to_string(expected).unwrap();
        for (body, out) in [
            (
                serde_json::json!({"a": text}),
                format!(r#"{{"a":{quoted}}}"#),
            ),
            (
                serde_json::json!({"Labels": {"a": text}}),
                format!(r#"{{"Labels":{{"a":{quoted}}}}}"#),
            ),
            (
                serde_json::json!({"Cmd": [text]}),
                format!(r#"{{"Cmd":[{quoted}]}}"#),
            ),
        ] {
            assert_eq!(redacted(&body.to_string()), out);
        }
    }
    // The password of a URL is a secret elsewhere too.
    let body = r#"{"Env":["DB=pg://u:hunter2x@db"],"Cmd":["-p","hunter2x"]}"#;
    assert!(!redacted(body).contains("hunter2x"));
}

#[test]
fn names_and_states_of_objects_and_short_values_stay() {
    for body in [
        r#"{"Image":"postgres:16","Name":"/postgres","Config":{"Env":["U=[redacted]"],"Image":"postgres"}}"#,
        r#"{"Env":["A=[redacted]"],"Cmd":["1","true","8080"],"N":123456}"#,
    ] {
        let asked = body.replace("[redacted]", "postgres");
        assert_eq!(redacted(&asked), body);
    }
    let body = r#"{"Env":["A=1","B=true"],"Cmd":["1","true"],"Labels":{"a":"1 true"}}"#;
    let expected =
        r#"{"Env":["A=[redacted]","B=[redacted]"],"Cmd":["1","true"],"Labels":{"a":"1 true"}}"#;
    assert_eq!(redacted(body), expected);
}

#[test]
fn values_that_overlap_or_contain_each_other_leave_nothing() {
    let body = r#"{"Env":["A=abcdefgh","B=efghijkl","C=abcdefghij"],"Cmd":["xabcdefghijklx"]}"#;
    assert!(redacted(body).contains(r#""Cmd":["x[redacted]x"]"#));
    let long = "s".repeat(20) + &"t".repeat(60);
    let body = format!(r#"{{"Env":["A={long}"],"Cmd":["x {long} y"]}}"#);
    assert!(redacted(&body).contains(r#""Cmd":["x [redacted]"]"#));
}

#[test]
fn the_search_is_linear_and_bounded() {
    // Each would take minutes if it were quadratic.
    let value = "a".repeat(1 << 20);
    let many: Vec<_> = (6..1000).map(|n| format!("A={}", "a".repeat(n))).collect();
    let urls = "a://".repeat(1 << 18) + "@";
    let assigned = "token=".repeat(1 << 17);
    for body in [
        serde_json::json!({"Env": [format!("A={value}")], "Cmd": [&value]}),
        serde_json::json!({"Env": many, "Cmd": [&value[1..]]}),
        serde_json::json!({"Env": [], "Cmd": [urls]}),
        serde_json::json!({"Env": [], "Cmd": [assigned]}),
    ] {
        let out = redacted(&body.to_string());
        assert!(
            !out.contains("aaaaaa") || out.contains("a://"),
            "{}",
            out.len()
        );
    }
    // So many that only the beginnings of values are searched for.
    let env = |count: usize| (0..count).map(|n| format!("A={n:06}-{}", "x".repeat(20)));
    let some: Vec<_> = env(20_000).collect();
    let body = serde_json::json!({"Env": some, "Cmd": ["v 000123-xxxxxxxxxxxxxxxxxxxx w"]});
    assert!(redacted(&body.to_string()).contains(r#""Cmd":["v [redacted]"]"#));
    let body = serde_json::json!({ "Env": env(60_000).collect::<Vec<_>>() }).to_string();
    assert_eq!(redact(body.as_bytes(), &BOTH), Err(RedactError::TooMany));
}

#[test]
fn only_the_kinds_that_a_policy_names_are_redacted() {
    let body =
        r#"{"Env":["A=hunter2x"],"Labels":{"token":"letmein1"},"Cmd":["hunter2x","letmein1"]}"#;
    let only = |kind| redact(body.as_bytes(), &[kind]).unwrap().unwrap();
    assert_eq!(
        only(Redact::Env),
        r#"{"Env":["A=[redacted]"],"Labels":{"token":"letmein1"},"Cmd":["[redacted]","letmein1"]}"#
    );
    assert_eq!(
        only(Redact::Secrets),
        r#"{"Env":["A=hunter2x"],"Labels":{"token":"[redacted]"},"Cmd":["hunter2x","[redacted]"]}"#
    );
}

/// Whoever may inspect an agent's container would be the operator with it.
#[test]
fn the_secret_of_agents_is_hidden_wherever_the_answer_has_it() {
    let body = r#"{"Config":{"Env":["AGENT_SECRET=a secret of agents","A=1","XAGENT_SECRET=b"],"Cmd":["a secret of agents"]}}"#;
    let hidden = redact(body.as_bytes(), &[Redact::Agents]).unwrap();
    assert_eq!(
        hidden.as_deref(),
        Some(
            r#"{"Config":{"Env":["AGENT_SECRET=[redacted]","A=1","XAGENT_SECRET=b"],"Cmd":["[redacted]"]}}"#
        )
    );
    let service = r#"{"Spec":{"TaskTemplate":{"ContainerSpec":{"Env":["AGENT_SECRET=x"]}}},"PreviousSpec":{"Env":["AGENT_SECRET=y"]}}"#;
    let hidden = redact(service.as_bytes(), &[Redact::Agents]).unwrap();
    let hidden = hidden.expect("a change");
    assert_eq!(hidden.matches(REDACTED).count(), 2, "{hidden}");
    let other = r#"{"Config":{"Env":["A=1"],"Labels":{"db.password":"p"}}}"#;
    assert_eq!(redact(other.as_bytes(), &[Redact::Agents]), Ok(None));
}
