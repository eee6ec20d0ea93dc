//! The disturbances themselves.

use std::time::Duration;

use rand::Rng;

use super::{Director, WORKS_WITHIN};
use crate::chaos::{
    consumer::Consumer,
    plan::{Disturbance, between},
};

impl Director<'_> {
    pub(super) fn disturb(&mut self, step: Disturbance) -> anyhow::Result<()> {
        match step {
            Disturbance::Kill => {
                let mut victim = self.take_any()?;
                self.say(&format!("SIGKILL {}", victim.name));
                self.note_vitals(&mut victim);
                victim.kill()?;
                self.start_later(&victim)
            }
            Disturbance::Leave => {
                let mut victim = self.take_any()?;
                self.say(&format!("SIGTERM {}", victim.name));
                self.note_vitals(&mut victim);
                let (service, name) = (victim.service, victim.name.clone());
                self.leave(victim)?;
                self.start(service, &name)
            }
            Disturbance::Pause => self.pause(),
            Disturbance::Replace => self.replace(),
            Disturbance::Scale => self.scale(),
            Disturbance::Broker => {
                let number = self.rng.random_range(1..=self.cluster.breakable());
                let crash = self.rng.random();
                let signal = if crash { "SIGKILL" } else { "SIGTERM" };
                self.say(&format!("{signal} broker {number}, start it again"));
                // Production goes on while the broker is away.
                self.progress.allow(self.share.1);
                self.cluster.restart(number, crash)?;
                self.say(&format!("broker {number} serves again"));
                Ok(())
            }
        }
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        let mut victim = self.take_any()?;
        // Long enough for the group to give its partitions away; sometimes also for the broker to
        // abort its transaction.
        let long = self.rng.random();
        let beyond = if long {
            self.run.transaction_ms
        } else {
            self.run.session_ms
        };
        let pause = Duration::from_millis(beyond + 1_500);
        self.say(&format!(
            "SIGSTOP {} for {:.1} s",
            victim.name,
            pause.as_secs_f32()
        ));
        self.note_vitals(&mut victim);
        victim.pause()?;
        self.wait(pause)?;
        victim.resume()?;
        self.say(&format!("SIGCONT {}", victim.name));
        self.consumers.push(victim);
        self.wait(Duration::from_secs(1))
    }

    fn replace(&mut self) -> anyhow::Result<()> {
        let mut zombie = self.take_any()?;
        let name = zombie.name.clone();
        self.say(&format!("SIGSTOP {name}, start its successor"));
        self.note_vitals(&mut zombie);
        zombie.pause()?;
        self.start(zombie.service, &name)?;
        self.until(WORKS_WITHIN, |director| Ok(director.works(&name)))?;
        zombie.resume()?;
        self.say(&format!("SIGCONT the first {name}, which is fenced now"));
        let rest = between(&mut self.rng, 500, 3_000);
        self.wait(rest)?;
        self.note_vitals(&mut zombie);
        zombie.kill()?;
        self.say(&format!("SIGKILL the first {name}"));
        Ok(())
    }

    fn scale(&mut self) -> anyhow::Result<()> {
        let input = self.rng.random_range(0..self.run.inputs.len());
        let service = self.run.inputs[input].service;
        let times = self
            .disturbances
            .get(Disturbance::Scale.name())
            .copied()
            .unwrap_or_default();
        let name = format!("{}-extra-{times}", service.name());
        self.say(&format!("one more: {name}"));
        self.start(service, &name)?;
        self.until(WORKS_WITHIN, |director| Ok(director.works(&name)))?;
        let rest = between(&mut self.rng, 1_000, 3_000);
        self.wait(rest)?;
        let mut extra = self.take(|consumer| consumer.name == name)?;
        self.note_vitals(&mut extra);
        if self.rng.random() {
            self.say(&format!("SIGTERM {name}, for good"));
            return self.leave(extra);
        }
        // Nobody starts under this name again: its transaction stays open until it times out.
        self.say(&format!("SIGKILL {name}, for good"));
        extra.kill()
    }

    fn start_later(&mut self, ended: &Consumer) -> anyhow::Result<()> {
        let rest = between(&mut self.rng, 0, 1_500);
        self.wait(rest)?;
        self.start(ended.service, &ended.name)
    }
}
