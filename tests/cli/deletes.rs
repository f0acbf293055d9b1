//! Deletes say less than other records.

use std::fs;

use super::ingest::{Place, SOURCE};
use super::lakebed;

#[test]
fn deletes_need_no_columns_but_those_of_key_partition_and_order() {
    let place = Place::new();
    place.deliver("a.csv", "id,p,ts,v\na,x,1,one\nb,x,1,two\nc,x,1,three\n");
    let job = place.job(SOURCE, "");
    let schema = fs::read_to_string(place.path("t.avsc")).unwrap();
    let required = r#"{"name":"v","type":"string"},{"name":"p""#;
    fs::write(place.path("t.avsc"), schema.replace(r#"{"name":"p""#, required)).unwrap();
    assert_eq!(lakebed(&["ingest", &job]).code, 0);

    let mixed = "mapping: {operation: {column: op}, missing_columns: \"null\"}\n";
    place.deliver("b.csv", "id,p,ts,op\na,x,2,D\n");
    place.deliver("c.csv", "id,p,ts,op,v\nb,x,2,D,\nd,x,1,U,four\n");
    let ran = lakebed(&["ingest", &place.job(SOURCE, mixed)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(place.rows(), ["c,x,1", "d,x,1"]);
    place.deliver("d.csv", "id,p,ts,op\ne,x,2,U\n");
    let missing = "d.csv:2: it has no \"v\", which the table requires";
    lakebed(&["ingest", &place.job(SOURCE, mixed)]).refused(6, missing);
    place.deliver("d.csv", "id,p,ts,op,v\ne,x,2,U,\n");
    let null = "d.csv:2, column \"v\": it is null, and the table requires a value";
    lakebed(&["ingest", &place.job(SOURCE, mixed)]).refused(6, null);

    place.deliver("d.csv", "id,p,ts\nc,x,2\n");
    let job = place.job(SOURCE, "operation: delete\n");
    let dry = lakebed(&["ingest", &job, "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    assert_eq!(place.rows(), ["d,x,1"]);
}
