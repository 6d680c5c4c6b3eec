//! `bottle doctor`

use crate::cli::Context;
use crate::doctor::{self, Finding, Verdict};
use crate::error::{Error, Kind, Result};
use clap::Args;

/// Check that this machine can run a bottle.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let findings = doctor::examine(context).await?;
        let printer = &context.printer;
        if printer.wants_json() {
            printer.json(&findings)?;
        } else {
            let rows: Vec<Vec<String>> = findings.iter().map(row).collect();
            printer.table(&["CHECK", "RESULT", "DETAIL"], &rows);
            for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Fine) {
                if let Some(remedy) = &finding.remedy {
                    printer.hint(&format!("{}: {remedy}", finding.check));
                }
            }
        }
        verdict(&findings)
    }
}

fn row(finding: &Finding) -> Vec<String> {
    vec![
        finding.check.to_owned(),
        finding.verdict.word().to_owned(),
        finding.detail.clone(),
    ]
}

/// Exit code 6 for what the machine lacks, 1 for what else is wrong.
fn verdict(findings: &[Finding]) -> Result<()> {
    let failed: Vec<&Finding> = findings
        .iter()
        .filter(|finding| matches!(finding.verdict, Verdict::Lacking | Verdict::Wrong))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let kind = if failed.iter().any(|finding| finding.verdict == Verdict::Lacking) {
        Kind::Environment
    } else {
        Kind::Failed
    };
    let checks: Vec<&str> = failed.iter().map(|finding| finding.check).collect();
    Err(Error::new(
        kind,
        format!(
            "no bottle can be started before this is put right: {}",
            checks.join(", ")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_lacks_is_exit_code_6_and_what_else_is_wrong_1() {
        let finding = |verdict| Finding {
            check: "engine",
            verdict,
            detail: String::new(),
            remedy: None,
        };
        let code = |verdicts: &[Verdict]| {
            let findings: Vec<Finding> = verdicts.iter().map(|verdict| finding(*verdict)).collect();
            verdict(&findings).map_err(|error| error.kind().exit_code())
        };
        assert_eq!(code(&[Verdict::Fine, Verdict::Mind]), Ok(()));
        assert_eq!(code(&[Verdict::Wrong]), Err(1));
        assert_eq!(code(&[Verdict::Wrong, Verdict::Lacking]), Err(6));
    }
}
