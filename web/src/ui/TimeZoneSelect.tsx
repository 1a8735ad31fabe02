// Every IANA time zone the browser knows, the reader's own first.

import { Select } from '@mantine/core';
import { useMemo } from 'react';
import { useTranslation } from '../i18n';

export const browserTimeZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

interface TimeZoneSelectProps {
  value: string;
  onChange: (zone: string) => void;
  error?: string;
}

export function TimeZoneSelect({ value, onChange, error }: TimeZoneSelectProps) {
  const { t } = useTranslation();
  const zones = useMemo(() => {
    const own = browserTimeZone();
    return [...new Set([own, 'UTC', ...Intl.supportedValuesOf('timeZone')])];
  }, []);
  return (
    <Select
      label={t('project.time_zone')}
      description={t('project.time_zone_text')}
      data={zones}
      value={value}
      onChange={(zone) => zone && onChange(zone)}
      searchable
      allowDeselect={false}
      limit={100}
      nothingFoundMessage={t('picker.nothing')}
      error={error}
    />
  );
}
