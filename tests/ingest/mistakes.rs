//! A mistaken job harms nobody.

use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn a_job_that_cannot_run_does_not_take_over_from_one_that_can() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..2));
    place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    place.deliver("b.csv", "id,w\n3,x\n");
    let files = format!("{{files: [\"{}/*\"]}}", place.path("in").display());
    let missing = format!("{{files: [{}/c.csv]}}", place.path("in").display());
    for (source, more, expected) in [
        (
            files.as_str(),
            "mapping: {rename: {a: idd}}\n",
            "mapping.rename.a: the table has no column \"idd\"",
        ),
        (&files, "", "b.csv: column \"v\" is missing"),
        (&missing, "", "c.csv: there is no such file"),
    ] {
        let ran = place.run(place.job(source, more), RunOptions::default()).await;
        let error = ran.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    place.deliver("b.csv", &csv(2..4));
    let (_keep, stop) = watch::channel(false);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = seen.clone();
    let see = Arc::new(move |event: &Event| events.lock().unwrap().push(event.clone()));
    run(place.files_job(""), RunOptions::default(), &place.environment, stop, see).await.unwrap();
    let first = seen.lock().unwrap().first().cloned();
    assert_eq!(first, Some(Event::Started { epoch: 2, checkpoint: 1 }));
}
