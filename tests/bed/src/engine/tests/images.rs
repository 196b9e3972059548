//! Containers from images, actions on images, and API versions.

use serde_json::{Value, json};

use super::*;

fn with_image() -> EngineBuilder {
    let image = fixture::image("sha256:1", &["app:1", "base:latest"], 1);
    FakeEngine::node("node1").images(vec![image])
}

#[tokio::test]
async fn a_container_is_created_only_from_an_existing_image() {
    let (_engine, client) = start(with_image()).await;
    let create = async |name: &str, image: &str| {
        let target = format!("/containers/create?name={name}");
        let body = json!({ "Image": image }).to_string();
        client
            .request("POST", &target, &[], body.as_bytes())
            .await
            .unwrap()
    };
    let one = create("one", "base").await;
    assert_eq!(one.status, 201, "{}", one.text());
    let one = one.json().unwrap()["Id"].as_str().unwrap().to_owned();
    let two = create("two", "app:1").await.json().unwrap();
    assert_eq!((one.len(), two["Warnings"].clone()), (64, json!([])));
    assert_ne!(two["Id"], *one);
    let inspect = client.get("/containers/one/json", &[]).await.unwrap();
    assert_eq!(inspect.json().unwrap()["Id"], *one);
    for (name, status) in [("two", 204), ("three", 404)] {
        let target = format!("/containers/{name}/start");
        let started = client.request("POST", &target, &[], b"").await.unwrap();
        assert_eq!(started.status, status);
    }
    let refused = create("three", "app:2").await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.message().unwrap(), "No such image: app:2");
}

#[tokio::test]
async fn a_pulled_image_exists_unless_the_pull_failed() {
    let (engine, client) = start(with_image()).await;
    let pull = async |name: &str| {
        let target = format!("/images/create?fromImage={name}&tag=2");
        client
            .request("POST", &target, &[], b"")
            .await
            .unwrap()
            .text()
    };
    let said = pull("reg%3A5000%2Fapp").await;
    assert_eq!(said.lines().count(), 3, "{said}");
    engine.set_behaviour_of("/images/create", Behaviour::FailMidway);
    let said = pull("other").await;
    assert!(
        said.lines().last().unwrap().contains("errorDetail"),
        "{said}"
    );
    let images = client
        .get("/images/json", &[])
        .await
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(images.as_array().unwrap().len(), 2, "{images}");
}

#[tokio::test]
async fn only_an_existing_image_is_tagged_or_removed() {
    let (_engine, client) = start(with_image()).await;
    for (method, target, status, body) in [
        ("POST", "/images/app:1/tag?repo=r", 201, Value::Null),
        (
            "DELETE",
            "/images/app:1",
            200,
            json!([{ "Untagged": "app:1" }]),
        ),
        (
            "POST",
            "/images/a/b/tag?repo=r",
            404,
            json!({ "message": "No such image: a/b" }),
        ),
        (
            "DELETE",
            "/images/a/b",
            404,
            json!({ "message": "No such image: a/b" }),
        ),
    ] {
        let answer = client.request(method, target, &[], b"").await.unwrap();
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.json().unwrap_or_default(), body);
    }
}

#[tokio::test]
async fn an_unsupported_version_is_refused() {
    let (_engine, client) = start(with_image().version("29.0", "1.52").api_min("1.44")).await;
    for (version, status) in [("1.43", 400), ("1.44", 200), ("1.52", 200), ("1.53", 400)] {
        let answer = client.get(&format!("/v{version}/info"), &[]).await.unwrap();
        assert_eq!(answer.status, status, "{version}");
    }
}
