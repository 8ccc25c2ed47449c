//! The rendered files: the committed ones are the rendered ones, and the checks see what is wrong with changed ones.

use bookloop::{
    argo::{RenderOptions, YamlFile, lint, render},
    step::Step,
};
use expect_test::expect_file;
use serde_json::Value;

fn files() -> Vec<YamlFile> {
    render(&RenderOptions::default()).unwrap()
}

fn parsed(file: &YamlFile) -> Value {
    serde_saphyr::from_str(&file.yaml).unwrap()
}

/// `UPDATE_EXPECT=1 cargo test -p bookloop --test it rendered` writes the files anew.
#[test]
fn the_committed_files_are_the_rendered_ones() {
    let [template, cron] = &files()[..] else { panic!("two files") };
    assert_eq!(template.name, "recommender-train.workflowtemplate.yaml");
    expect_file!["../../argo/recommender-train.workflowtemplate.yaml"].assert_eq(&template.yaml);
    assert_eq!(cron.name, "recommender-nightly.cronworkflow.yaml");
    expect_file!["../../argo/recommender-nightly.cronworkflow.yaml"].assert_eq(&cron.yaml);
}

#[test]
fn nothing_is_wrong_with_the_rendered_files() {
    assert_eq!(lint(&files()), []);
    let longest = RenderOptions {
        tenant: "a".repeat(40).parse().unwrap(),
        model: "m".repeat(40).parse().unwrap(),
        image: format!("host:5000/bookloop@sha256:{}", "0".repeat(64)),
        items_url: None,
        min_eval_score: 1.0,
        queue: Some("tenant-ml".into()),
        ..RenderOptions::default()
    };
    assert_eq!(lint(&render(&longest).unwrap()), []);
}

#[test]
fn every_step_has_a_task_and_a_container_and_waits_for_what_it_reads() {
    let template = parsed(&files()[0]);
    let templates = template["spec"]["templates"].as_array().unwrap();
    let tasks = templates[0]["dag"]["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), Step::ALL.len());
    for (step, task) in Step::ALL.iter().zip(tasks) {
        assert_eq!(task["name"], step.name());
        let waits: Vec<&str> = step.after().iter().map(|step| step.name()).collect();
        assert_eq!(task["dependencies"].as_array().map_or(0, Vec::len), waits.len());
        assert!(waits.iter().enumerate().all(|(place, name)| task["dependencies"][place] == *name));
        let container = templates.iter().find(|template| template["name"] == step.name()).unwrap();
        let command = container["container"]["command"].as_array().unwrap();
        let words = ["bookloop", "train", "--step", step.name(), "--run", "{{workflow.name}}"];
        assert!(words.iter().zip(command).all(|(word, found)| found == word), "{command:?}");
    }
}

#[test]
fn what_a_person_reads_as_text_is_text_to_every_reader() {
    let options = RenderOptions { min_eval_score: 1.0, ..RenderOptions::default() };
    let template = &render(&options).unwrap()[0];
    let value = parsed(template);
    let parameters = value["spec"]["arguments"]["parameters"].as_array().unwrap();
    assert!(parameters.iter().all(|parameter| parameter["value"].is_string()), "{parameters:?}");
    assert!(template.yaml.contains("value: \"1\"") || template.yaml.contains("value: '1'"));
    assert_eq!(value["spec"]["synchronization"]["mutexes"][0]["name"], "train-{{workflow.parameters.tenant}}");
    assert!(!template.yaml.contains(": {{"), "an unquoted brace opens a map");
}

/// What `lint` says about the rendered files with one text in one of them replaced.
fn after(old: &str, new: &str) -> Vec<String> {
    let mut files = files();
    let changed =
        files.iter_mut().find(|file| file.yaml.contains(old)).unwrap_or_else(|| panic!("{old:?} is rendered"));
    changed.yaml = changed.yaml.replacen(old, new, 1);
    lint(&files).into_iter().map(|finding| format!("{}: expected {}", finding.path, finding.expected)).collect()
}

#[test]
fn a_mistake_is_found_and_the_finding_says_where() {
    let spec = "spec.workflowSpec";
    for (old, new, wanted) in [
        ("entrypoint: pipeline", "entrypoint: pipelin", "spec.entrypoint: expected the name of a template".to_owned()),
        ("onExit: report", "onExit: nobody", "spec.onExit: expected the name of a template".into()),
        (
            "template: fit",
            "template: fitt",
            "spec.templates[0].dag.tasks[1].template: expected the name of a template".into(),
        ),
        (
            "    - snapshot\n",
            "    - snapshott\n",
            "spec.templates[0].dag.tasks[1].dependencies[0]: expected a task listed before this one".into(),
        ),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            "spec.templates[1].container.securityContext.allowPrivilegeEscalation: expected false".into(),
        ),
        ("memory: 2Gi", "disk: 2Gi", "spec.templates[1].container.resources.limits.memory: expected a quantity".into()),
        (
            "'69'",
            "'10'",
            "spec.templates[1].retryStrategy.expression: expected only codes after which another attempt can end differently"
                .into(),
        ),
        ("name: recommender-nightly", "name: a-name-of-fifty-three-characters-is-one-too-many-for-it",
            "metadata.name: expected a-z, 0-9 and -, at most 52 characters".into()),
        ("name: trigger-kind\n", "name: trigger-sort\n",
            "spec.templates[1].container.command[19]: expected a declared parameter".into()),
        ("timezone: UTC", "suspend: false", "spec.timezone: expected a time zone, not the machine's".into()),
        ("startingDeadlineSeconds: 600", "startingDeadlineSeconds: 0",
            "spec.startingDeadlineSeconds: expected above 0, or a night is lost to a restart".into()),
        ("workflowTemplateRef:\n      name: recommender-train", "workflowTemplateRef:\n      name: recommender",
            format!("{spec}.workflowTemplateRef.name: expected a WorkflowTemplate among the files")),
        ("podPriorityClassName: bookstore-platform-ml-batch", "podPriorityClassName: x\n  podPriority: 5",
            "spec.podPriority: expected no such field; podPriorityClassName".into()),
        ("    mutexes:", "    mutex: {name: a}\n    mutexes:",
            "spec.synchronization.mutex: expected no such field; mutexes, a list".into()),
    ] {
        let found = after(old, new);
        assert!(found.contains(&wanted), "{old} -> {new}: {found:#?} lacks {wanted}");
    }
}

#[test]
fn the_retired_schedule_is_refused_and_broken_yaml_is_a_finding() {
    let found = after("schedules:\n", "schedule: 0 2 * * *\n  schedules:\n");
    assert_eq!(found, ["spec.schedule: expected no such field; schedules is a list"]);
    let broken = [YamlFile { name: "x.yaml".into(), yaml: "a: [".into() }];
    let findings = lint(&broken);
    assert_eq!((findings.len(), findings[0].expected.as_str()), (1, "YAML"));
}

#[test]
fn several_objects_in_one_file_are_each_checked() {
    let files = files();
    let joined = format!("{}---\n{}", files[0].yaml, files[1].yaml.replace("- 0 2 * * *", "- daily"));
    let findings = lint(&[YamlFile { name: "all.yaml".into(), yaml: joined }]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].to_string(), "all.yaml#2: spec.schedules[0]: expected five cron fields, found \"daily\"");
}
