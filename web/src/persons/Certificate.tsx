// The certificate of an erasure: what it says, and the file that anybody verifies with the ledger's key.

import { Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { certificateOf } from '../api/queries';
import type { Erasure } from '../api/types';
import { useTranslation } from '../i18n';
import { saveText } from '../ui/download';
import { ErrorNote } from '../ui/ErrorNote';
import { useProject } from '../ui/project';
import classes from './Persons.module.css';

export function Certificate({ erasure }: { erasure: Erasure }) {
  const { t } = useTranslation();
  return (
    <div className={classes.certificate}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <section className={classes.statement} tabIndex={0} aria-label={t('erasure.statement')}>
        <pre>{erasure.statement}</pre>
      </section>
      {erasure.is_done && <CertificateButton erasure={erasure.id} label={t('erasure.certificate')} />}
    </div>
  );
}

export function CertificateButton({ erasure, label }: { erasure: number; label: string }) {
  const { t } = useTranslation();
  const project = useProject();
  const fetching = useMutation({
    mutationFn: () => certificateOf(project.id, erasure),
    onSuccess: (text) => saveText(`erasure-${project.id}-${erasure}.txt`, text),
  });
  return (
    <>
      <Button
        size="compact-xs"
        variant="default"
        leftSection={<IconDownload size={14} />}
        loading={fetching.isPending}
        aria-label={t('erasure.certificate_of', { number: erasure })}
        onClick={() => fetching.mutate()}
      >
        {label}
      </Button>
      <ErrorNote error={fetching.error} />
    </>
  );
}
