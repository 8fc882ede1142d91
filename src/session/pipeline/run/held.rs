//! Runs whose input is held before any of it is written: whole imports, and files that may turn
//! out to be others.
//!
//! In: all of the input, which is kept in a file. Out: what the run makes of it, once, or again for
//! each attempt that the session asks for. Bounded by the room for temporary files.

use tokio::sync::mpsc::Receiver;

use crate::decode::Decoded;
use crate::decode::protocol::WorkbookRequest;
use crate::session::checks::{check_crc, check_file, check_rows};
use crate::session::inbound::Totals;
use crate::session::intake::{Intake, Receiving};
use crate::session::pipeline::hold::{Held, Hold};
use crate::session::pipeline::{Input, Output, Stop};
use crate::session::spec::FileSpec;

use super::Run;

impl Run {
    pub(in crate::session::pipeline) fn whole_rows(
        &mut self,
        mut input: Receiver<Input>,
    ) -> Result<Output, Stop> {
        let mut hold = Hold::rows(&self.pipeline.spool_dir, &self.pipeline.limits)?;
        let mut last_position = None;
        let totals = self.receive(&mut input, |run, input| match input {
            Input::Rows(rows) => {
                last_position = run.new_position(&rows).or(last_position.take());
                let frames = run.packed(rows)?;
                let mut frames = frames.iter();
                Ok(frames.try_for_each(|frame| hold.write_frame(frame))?)
            }
            Input::Flush => Ok(()),
            _ => unreachable!("the session refuses chunks of rows"),
        })?;
        check_rows(totals, self.next_row)?;
        let mut held = hold.finish()?;
        self.attempts(input, |run| {
            run.begin_rows()?;
            if let Some((end, position)) = &last_position {
                let mapped = run.mapped.as_mut().expect("begun above");
                mapped.batcher.note_position(*end, position.clone());
            }
            held.frames(|frame| {
                if run.pipeline.stop.is_cancelled() {
                    return Err(Stop::Gone);
                }
                run.decoded(Decoded::Rows(frame))
            })?;
            run.end(totals, totals.sha256)
        })
    }

    pub(in crate::session::pipeline) fn whole_file(
        &mut self,
        file: &FileSpec,
        mut input: Receiver<Input>,
    ) -> Result<Output, Stop> {
        let (mut held, totals, sha256) = self.held_file(file, &mut input)?;
        self.attempts(input, |run| {
            run.decode_held(file, &mut held, totals, sha256)
        })
    }

    /// A file of which none is written unless it may be, see [`Run::holds_file`].
    pub(in crate::session::pipeline) fn held_back_file(
        &mut self,
        file: &FileSpec,
        mut input: Receiver<Input>,
    ) -> Result<Output, Stop> {
        let (mut held, totals, sha256) = self.held_file(file, &mut input)?;
        self.decode_held(file, &mut held, totals, sha256)
    }

    fn decode_held(
        &mut self,
        file: &FileSpec,
        held: &mut Held,
        totals: Totals,
        sha256: [u8; 32],
    ) -> Result<Output, Stop> {
        if let Some(workbook) = held.workbook()? {
            self.workbook(workbook, &WorkbookRequest::of(&file.options))?;
            return self.end(totals, Some(sha256));
        }
        let (limits, dir) = (&self.pipeline.limits, &self.pipeline.spool_dir);
        let mut intake = Intake::new(file, limits, dir);
        held.pieces(|piece| self.collect(|stopped, each| intake.feed(piece, stopped, each)))?;
        self.finish_file(file, intake, totals)
    }

    /// A whole file, which is the one that it is said to be, and its hash.
    fn held_file(
        &mut self,
        file: &FileSpec,
        input: &mut Receiver<Input>,
    ) -> Result<(Held, Totals, [u8; 32]), Stop> {
        let (limits, dir) = (&self.pipeline.limits, &self.pipeline.spool_dir);
        let mut hold = Hold::file(dir, limits, file)?;
        let mut receiving = Receiving::default();
        let totals = self.receive(input, |_, input| match input {
            Input::Chunk { data, crc32c } => {
                check_crc(&data, crc32c)?;
                receiving.add(&data);
                Ok(hold.write(&data, &file.options)?)
            }
            Input::Flush => Ok(()),
            _ => unreachable!("the session refuses rows of a file"),
        })?;
        let received = receiving.received();
        check_file(file, self.pipeline.decided.file_sha256, totals, &received)?;
        // What follows waits until the session has looked at this.
        self.send(Output::Received {
            sha256: received.sha256,
        })?;
        Ok((hold.finish()?, totals, received.sha256))
    }

    /// Decodes once, and again whenever the session asks for it.
    fn attempts(
        &mut self,
        mut input: Receiver<Input>,
        mut decode: impl FnMut(&mut Run) -> Result<Output, Stop>,
    ) -> Result<Output, Stop> {
        loop {
            self.mapped = None;
            self.waiting.clear();
            self.has_place = false;
            self.send(Output::Attempt(self.attempt))?;
            match decode(self) {
                Ok(end) => self.send(end)?,
                // What went wrong with an attempt that is given up is of no interest.
                Err(Stop::Gone) => return Err(Stop::Gone),
                Err(_) if self.is_given_up() => {}
                Err(stop) => return Err(stop),
            }
            loop {
                match input.blocking_recv() {
                    Some(Input::Again(attempt)) if attempt > self.attempt => {
                        self.attempt = attempt;
                        break;
                    }
                    Some(_) => {}
                    None => return Err(Stop::Gone),
                }
            }
        }
    }
}
