// The whole ledger read while somebody looks on: each entry is the one that was signed, in its place. What is
// found can be kept, and compared with what a witness has.

import { Button, Group, Stack } from '@mantine/core';
import { IconAlertTriangle, IconShieldCheck } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { verifyLedger } from '../api/oversight';
import type { Verification } from '../api/types';
import { useTranslation } from '../i18n';
import { Bar } from '../ui/Bar';
import { saveText } from '../ui/download';
import { ErrorNote } from '../ui/ErrorNote';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import classes from './Trust.module.css';

export function Verify() {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const [step, setStep] = useState<Verification | null>(null);
  const stop = useRef<AbortController>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const verifying = useMutation({
    mutationFn: async () => {
      setStep(null);
      stop.current = new AbortController();
      const began = performance.now();
      await verifyLedger(stop.current.signal, setStep);
      return performance.now() - began;
    },
  });

  return (
    <section className={page.panel} aria-label={t('verify.title')} aria-busy={verifying.isPending}>
      <h2 className={page.subtitle}>{t('verify.title')}</h2>
      <Stack gap="md">
        <p className={page.lead}>{t('verify.lead')}</p>
        <Group gap="sm">
          <Button
            variant={step?.kind === 'end' ? 'default' : 'filled'}
            loading={verifying.isPending}
            onClick={() => verifying.mutate()}
          >
            {t('verify.start')}
          </Button>
        </Group>
        <ErrorNote error={verifying.error} />
        {step?.kind === 'progress' && (
          <div>
            <Bar label={t('verify.title')} done={step.entries} of={step.of} />
            <p className={page.lead}>
              {t('verify.progress', {
                count: step.of,
                entries: format.count(step.entries),
                of: format.count(step.of),
              })}
            </p>
          </div>
        )}
        {step?.kind === 'failed' && (
          <p className={classes.verdict} data-bad role="alert">
            <IconAlertTriangle size={18} aria-hidden="true" /> {t('verify.failed')} {step.message}
          </p>
        )}
        {step?.kind === 'end' && (
          <>
            <p className={classes.verdict} data-bad={!step.is_sound || undefined} role="status">
              {step.is_sound ? (
                <IconShieldCheck size={18} aria-hidden="true" />
              ) : (
                <IconAlertTriangle size={18} aria-hidden="true" />
              )}
              {step.is_sound
                ? t('verify.sound', {
                    count: step.entries,
                    entries: format.count(step.entries),
                    time: format.duration(verifying.data ?? 0),
                  })
                : t('verify.unsound', { count: step.wrong.length })}
            </p>
            {step.wrong.length > 0 && (
              <ul>
                {step.wrong.map((what) => (
                  <li key={what} lang="en">
                    {what}
                  </li>
                ))}
              </ul>
            )}
            <dl className={classes.facts}>
              <Fact name={t('verify.root')}>
                <span className={classes.mono}>{step.root}</span>
              </Fact>
              <Fact name={t('verify.key')}>
                <span className={classes.mono}>{step.key}</span>
              </Fact>
              <Fact name={t('verify.unpublished')}>{format.count(step.unpublished)}</Fact>
              <Fact name={t('verify.erased')}>{format.count(step.erased)}</Fact>
            </dl>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
            <section tabIndex={0} aria-label={t('verify.checkpoint')} className={classes.text}>
              {step.checkpoint}
            </section>
            <Group gap="sm">
              <Button
                size="xs"
                variant="default"
                onClick={() => saveText('ledger-checkpoint.txt', step.checkpoint)}
              >
                {t('verify.keep')}
              </Button>
            </Group>
          </>
        )}
      </Stack>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
