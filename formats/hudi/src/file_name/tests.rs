use proptest::prelude::*;

use super::*;

const BASE: &str = "937e7c4c-5f22-4a6c-9a3e-8f0c3f0d2f11-0_2-183-280_20261123152302572.parquet";
const LOG: &str = ".00000001-f50f-475b-b3e9-073b0158fa02-0_20261123152334001.log.1_1-446-721";

#[test]
fn real_names_round_trip() {
    let base: BaseFileName = BASE.parse().unwrap();
    assert_eq!(base.file_id.as_str(), "937e7c4c-5f22-4a6c-9a3e-8f0c3f0d2f11-0");
    assert_eq!(base.to_string(), BASE);
    let log: LogFileName = LOG.parse().unwrap();
    assert_eq!((log.file_id.bucket(), log.version), (Some(1), 1));
    assert_eq!(log.to_string(), LOG);
    let cdc = format!("{LOG}.cdc");
    assert!(cdc.parse::<LogFileName>().unwrap().cdc);
    assert_eq!(cdc.parse::<LogFileName>().unwrap().to_string(), cdc);
}

#[test]
fn bucket_ids_are_fixed_and_recognised() {
    assert_eq!(FileId::of_bucket(3).as_str(), "00000003-0000-0000-0000-000000000000-0");
    assert_eq!(FileId::of_bucket(3).bucket(), Some(3));
    let next = FileId::of_bucket_in(3, "937e7c4c-5f22-4a6c-9a3e-8f0c3f0d2f11");
    assert_eq!(next.as_str(), "00000003-5f22-4a6c-9a3e-8f0c3f0d2f11-0");
    let uuid: FileId = "937e7c4c-5f22-4a6c-9a3e-8f0c3f0d2f11-0".parse().unwrap();
    assert_eq!(uuid.bucket(), None);
}

#[test]
fn tokens_compare_as_text() {
    let name = |token: &str| LOG.replace("1-446-721", token).parse::<LogFileName>().unwrap();
    assert!(name("1-10-1") < name("1-9-1"));
}

#[test]
fn markers_name_their_file() {
    let marker = MarkerKind::Create.marker_path(&format!("p=a/{LOG}"));
    assert!(marker.ends_with("1-446-721.marker.CREATE"));
    let (path, kind) = MarkerKind::parse_marker(&marker).unwrap();
    assert_eq!((path, kind), (format!("p=a/{LOG}").as_str(), MarkerKind::Create));
    assert_eq!(MarkerKind::parse_marker("p=a/x.marker.DROP"), None);
}

#[test]
fn other_names_are_no_data_files() {
    for name in [PARTITION_METADATA, ".hoodie", "part-0000.parquet", "a_b_c_20261123152302572.parquet", ""] {
        assert_eq!(DataFileName::parse(name), None, "{name}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(name in "\\PC{0,80}") {
        let _ = DataFileName::parse(&name);
        let _ = MarkerKind::parse_marker(&name);
    }

    #[test]
    fn whatever_parses_prints_the_same(name in "\\.?[0-9a-f]{2,8}-0_[0-9]{17}\\.log\\.[1-9][0-9]{0,3}(_[0-9]{1,3}-[0-9]{1,3}-[0-9]{1,3})?(\\.cdc)?") {
        if let Ok(log) = name.parse::<LogFileName>() {
            prop_assert_eq!(log.to_string(), name);
        }
    }
}
